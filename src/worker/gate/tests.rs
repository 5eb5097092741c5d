use super::*;

fn gate() -> Gate {
    Gate::new(Backoff {
        base: Duration::from_secs(1),
        max: Duration::from_mins(1),
    })
}

#[test]
fn one_lost_answer_costs_one_probe_and_no_line() {
    let (mut gate, now) = (gate(), Instant::now());

    assert_eq!(gate.failed(Sent::Straggler, Cause::Outage, now, 1.0), None);
    assert_eq!(gate.permit(now), Permit::Probe);
    assert_eq!(gate.permit(now), Permit::Pending);
    gate.probe_answered();
    assert_eq!(gate.permit(now), Permit::Trial);
    assert_eq!(gate.permit(now), Permit::Pending);
    gate.succeeded(Sent::Trial, now);

    assert_eq!(gate.permit(now), Permit::Full);
    assert_eq!(gate.settled(now + Duration::from_hours(1)), None);
}

#[test]
fn an_outage_is_said_once_and_probed_ever_more_slowly() {
    let (mut gate, start) = (gate(), Instant::now());
    let (mut now, mut probes, mut turns) = (start, 0, Vec::new());

    turns.extend(gate.failed(Sent::Straggler, Cause::Outage, now, 1.0));
    while now < start + Duration::from_hours(1) {
        match gate.permit(now) {
            Permit::Probe => {
                probes += 1;
                turns.extend(gate.failed(Sent::Probe, Cause::Outage, now, 1.0));
            }
            Permit::Wait(at) => now = at,
            other => panic!("{other:?} while Salesforce is down"),
        }
    }
    gate.permit(now);
    gate.probe_answered();
    gate.permit(now);
    gate.succeeded(Sent::Trial, now);
    turns.extend(gate.settled(now));
    turns.extend(gate.settled(now + Duration::from_mins(1)));
    turns.extend(gate.settled(now + Duration::from_mins(2)));

    assert!(probes <= 70, "{probes} probes in an hour");
    assert_eq!(
        turns,
        [
            Turn::Began(Cause::Outage),
            Turn::Ended(Cause::Outage, now - start)
        ]
    );
}

#[test]
fn answers_that_fail_late_do_not_slow_the_probing_down() {
    let (mut gate, now) = (gate(), Instant::now());
    for _ in 0..20 {
        gate.failed(Sent::Straggler, Cause::Outage, now, 1.0);
    }
    assert_eq!(gate.permit(now), Permit::Probe);
    gate.failed(Sent::Straggler, Cause::Outage, now, 1.0);
    gate.failed(Sent::Probe, Cause::Outage, now, 1.0);
    assert_eq!(gate.permit(now), Permit::Wait(now + Duration::from_secs(1)));
}

#[test]
fn a_fault_in_the_configuration_is_said_at_once() {
    let (mut gate, now) = (gate(), Instant::now());
    assert_eq!(
        gate.failed(Sent::Straggler, Cause::Configuration, now, 1.0),
        Some(Turn::Began(Cause::Configuration))
    );
    assert_eq!(
        gate.failed(Sent::Straggler, Cause::Configuration, now, 1.0),
        None
    );
    assert!(matches!(gate.permit(now), Permit::Wait(_)));
}

#[test]
fn a_trial_that_fails_closes_the_gate_again() {
    let (mut gate, now) = (gate(), Instant::now());
    gate.failed(Sent::Straggler, Cause::Outage, now, 1.0);
    gate.permit(now);
    gate.probe_answered();
    gate.permit(now);
    assert_eq!(
        gate.failed(Sent::Trial, Cause::Outage, now, 1.0),
        Some(Turn::Began(Cause::Outage))
    );
    assert!(matches!(gate.permit(now), Permit::Wait(_)));
}

fn closed_for(cause: Cause, now: Instant) -> Gate {
    let mut gate = gate();
    gate.failed(Sent::Straggler, cause, now, 1.0);
    let later = now + Duration::from_mins(20);
    assert_eq!(gate.permit(later), Permit::Probe);
    gate.probe_answered();
    assert_eq!(gate.permit(later), Permit::Trial);
    gate
}

#[test]
fn an_outage_is_over_when_the_probe_is_answered_and_nothing_waits() {
    let now = Instant::now();
    let mut gate = closed_for(Cause::Outage, now);
    assert!(!gate.nothing_to_try(now));
    assert_eq!(gate.permit(now), Permit::Full);
}

#[test]
fn what_a_probe_cannot_tell_takes_a_call_where_nothing_waits() {
    let now = Instant::now();
    for cause in [Cause::DailyLimit, Cause::Configuration] {
        let mut gate = closed_for(cause, now);
        assert!(gate.nothing_to_try(now));
        // The call is the trial.
        assert_eq!(gate.permit(now), Permit::Pending);
        gate.succeeded(Sent::Trial, now);
        assert_eq!(gate.permit(now), Permit::Full);
        assert!(!gate.nothing_to_try(now), "it is open");
    }
}

#[test]
fn a_straggler_ends_an_outage_and_nothing_else() {
    let now = Instant::now();
    for (cause, open) in [
        (Cause::Outage, true),
        (Cause::DailyLimit, false),
        (Cause::Configuration, false),
    ] {
        let mut gate = closed_for(cause, now);
        gate.succeeded(Sent::Straggler, now);
        assert_eq!(gate.is_open(), open, "{cause:?}");
    }
}

#[test]
fn the_daily_limit_is_tried_at_most_once_in_ten_minutes() {
    let (mut gate, start) = (gate(), Instant::now());
    let (mut now, mut tries) = (start, 0);
    gate.failed(Sent::Straggler, Cause::DailyLimit, now, 0.0);
    while now < start + Duration::from_hours(6) {
        match gate.permit(now) {
            Permit::Probe => gate.probe_answered(),
            Permit::Trial => {
                tries += 1;
                gate.failed(Sent::Trial, Cause::DailyLimit, now, 0.0);
            }
            Permit::Wait(at) => now = at,
            other => panic!("{other:?} without calls"),
        }
    }
    assert!((18..=36).contains(&tries), "{tries} tries in six hours");
}

#[test]
fn what_comes_and_goes_is_one_outage() {
    let (mut gate, start) = (gate(), Instant::now());
    let (mut now, mut turns, mut probes) = (start, Vec::new(), 0);
    let down =
        |now: Instant| (now - start).as_secs() % 4 < 2 && now - start < Duration::from_mins(5);
    while now < start + Duration::from_mins(6) {
        turns.extend(gate.settled(now));
        match gate.permit(now) {
            Permit::Full if down(now) => {
                turns.extend(gate.failed(Sent::Straggler, Cause::Outage, now, 0.5));
            }
            Permit::Probe if down(now) => {
                probes += 1;
                turns.extend(gate.failed(Sent::Probe, Cause::Outage, now, 0.5));
            }
            Permit::Probe => gate.probe_answered(),
            Permit::Trial => gate.succeeded(Sent::Trial, now),
            _ => {}
        }
        now += Duration::from_millis(50);
    }

    assert!(gate.is_up() && probes < 300, "{probes} probes");
    assert!(
        matches!(
            turns[..],
            [Turn::Began(Cause::Outage), Turn::Ended(Cause::Outage, _)]
        ),
        "{turns:?}"
    );
}

#[test]
fn a_trial_that_could_not_go_out_is_handed_out_again() {
    let now = Instant::now();
    let mut gate = closed_for(Cause::Outage, now);
    gate.trial_postponed();
    assert_eq!(gate.permit(now), Permit::Trial);
}

/// An hour in which everything is refused alike, and something new comes
/// every so often; the times of all trials.
fn an_hour_of_refusals(news_every: Option<Duration>, chance: f64) -> (Vec<Duration>, usize, usize) {
    let (mut gate, start) = (gate(), Instant::now());
    let (mut trials, mut probes, mut turns) = (Vec::new(), 0, 0);
    let mut tell = |turn: Option<Turn>| turns += usize::from(turn.is_some());
    let mut now = start;
    tell(gate.failed(Sent::Straggler, Cause::Configuration, now, chance));
    let mut news = start;
    while now < start + Duration::from_hours(1) {
        if let Some(every) = news_every
            && now >= news
        {
            gate.news(now);
            news = now + every;
        }
        match gate.permit(now) {
            Permit::Probe => {
                probes += 1;
                gate.probe_answered();
            }
            Permit::Trial => {
                gate.all_taken();
                trials.push(now - start);
                tell(gate.failed(Sent::Trial, Cause::Configuration, now, chance));
            }
            Permit::Wait(at) => now = at.min(now + Duration::from_millis(500)),
            other => panic!("{other:?} though everything is refused"),
        }
    }
    (trials, probes, turns)
}

#[test]
fn edits_that_come_all_the_time_do_not_make_an_hour_of_refusals_expensive() {
    for every in [
        Duration::from_millis(500),
        Duration::from_secs(7),
        Duration::from_secs(45),
    ] {
        for chance in [0.0, 1.0] {
            let (trials, probes, turns) = an_hour_of_refusals(Some(every), chance);

            assert!(
                trials.len() <= 75 && probes <= 75,
                "{} trials, {probes} probes",
                trials.len()
            );
            assert_eq!(turns, 1);
            // Something new never waits longer than the slowest pause of probes.
            let pauses = trials
                .windows(2)
                .map(|pair| pair[1].saturating_sub(pair[0]));
            assert!(pauses.max() <= Some(every + Duration::from_secs(61)));
        }
    }
}

#[test]
fn refusals_are_tried_seldom_while_nothing_new_comes() {
    for (chance, most) in [(0.0, 18), (1.0, 12)] {
        let (trials, probes, _) = an_hour_of_refusals(None, chance);
        assert!(trials.len() <= most && probes <= most, "{trials:?}");
    }
}

#[test]
fn another_ad_brings_the_next_trial_forward() {
    let start = Instant::now();
    let mut gate = gate();
    gate.failed(Sent::Straggler, Cause::Configuration, start, 1.0);
    let mut now = start;
    for _ in 0..3 {
        let Permit::Wait(at) = gate.permit(now) else {
            panic!("no pause");
        };
        now = at;
        assert_eq!(gate.permit(now), Permit::Probe);
        gate.probe_answered();
        assert_eq!(gate.permit(now), Permit::Trial);
        gate.all_taken();
        gate.failed(Sent::Trial, Cause::Configuration, now, 1.0);
    }
    assert_eq!(
        gate.permit(now),
        Permit::Wait(now + Duration::from_secs(80))
    );

    gate.news(now + Duration::from_secs(2));
    assert_eq!(
        gate.permit(now),
        Permit::Wait(now + Duration::from_secs(10))
    );

    // Long after the last one it is tried at once.
    let mut late = closed_for(Cause::Configuration, now);
    let now = now + Duration::from_mins(20);
    late.all_taken();
    late.failed(Sent::Trial, Cause::Configuration, now, 1.0);
    let later = now + Duration::from_secs(15);
    late.news(later);
    assert_eq!(late.permit(later), Permit::Probe);
}

#[test]
fn news_that_come_while_a_trial_is_out_count() {
    let start = Instant::now();
    let mut gate = closed_for(Cause::Configuration, start);
    gate.all_taken();
    gate.news(start + Duration::from_mins(20));

    let now = start + Duration::from_mins(21);
    gate.failed(Sent::Trial, Cause::Configuration, now, 1.0);

    assert_eq!(
        gate.permit(now),
        Permit::Wait(now + Duration::from_secs(10))
    );
}

#[test]
fn a_trial_that_went_well_spends_nothing() {
    let mut now = Instant::now();
    let mut gate = gate();
    for _ in 0..50 {
        gate.failed(Sent::Straggler, Cause::Configuration, now, 1.0);
        let Permit::Wait(at) = gate.permit(now) else {
            panic!("no pause");
        };
        assert!(at <= now + Duration::from_secs(10), "{:?}", at - now);
        now = at;
        gate.permit(now);
        gate.probe_answered();
        assert_eq!(gate.permit(now), Permit::Trial);
        gate.succeeded(Sent::Trial, now);
    }
}

#[test]
fn news_change_nothing_while_salesforce_is_down_or_has_no_calls() {
    for cause in [Cause::Outage, Cause::DailyLimit] {
        let now = Instant::now();
        let mut gate = closed_for(cause, now);
        let now = now + Duration::from_mins(20);
        gate.failed(Sent::Trial, cause, now, 1.0);
        let before = gate.permit(now);
        gate.news(now);
        assert_eq!(gate.permit(now), before, "{cause:?}");
    }
}
