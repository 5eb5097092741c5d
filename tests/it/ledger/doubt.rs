//! Hands that are overtaken, give up or die: what they may have done is never
//! forgotten.

use usage_sync::ledger::{Outcome, Verdict};
use usage_sync::plan::Action;

use super::{HOURS, ad, bench, done, record, refused, retried};

#[tokio::test]
async fn a_hand_that_was_overtaken_writes_no_result_and_leaves_its_records_in_doubt() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let frozen = bench.hand(&["1"]).await;
    let newer = bench.hand(&["1"]).await;
    assert!(newer.token() > frozen.token());
    newer.record(&bench.ledger, Verdict::Reported, done).await;
    assert_eq!(bench.ad("1").await, ad("reported 1/1", None, false));

    let overtaken = frozen.record(&bench.ledger, Verdict::Reported, done).await;

    assert_eq!(overtaken, ["1"]);
    assert_eq!(
        bench.records().await,
        [record("p-1:a", "sending", Some("id of p-1:a"))]
    );
    let (state, _, _) = bench.ad("1").await;
    assert_eq!(state, "pending 2/1");
    // The next hand makes Salesforce right.
    let next = bench.hand(&["1"]).await;
    assert_eq!(next.plan(), [(Action::Update, "p-1:a")]);
    let overtaken = next.record(&bench.ledger, Verdict::Reported, done).await;
    assert_eq!(overtaken, [""; 0]);
    assert_eq!(bench.ad("1").await, ad("reported 2/2", None, false));
}

#[tokio::test]
async fn a_hand_that_is_overtaken_while_it_records_first_keeps_the_newer_one_from_recording() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let frozen = bench.hand(&["1"]).await;
    let newer = bench.hand(&["1"]).await;

    assert_eq!(
        frozen.record(&bench.ledger, Verdict::Reported, done).await,
        ["1"]
    );
    // Which of the two Salesforce heard last is not known.
    assert_eq!(
        newer.record(&bench.ledger, Verdict::Reported, done).await,
        ["1"]
    );

    assert_eq!(bench.records().await, [record("p-1:a", "sending", None)]);
    assert_eq!(bench.count("journal").await, 2, "both are told");
    assert_eq!(bench.hand(&["1"]).await.plan(), [(Action::Update, "p-1:a")]);
}

#[tokio::test]
async fn an_abandoned_intent_was_never_there() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let hand = bench.hand(&["1"]).await;

    bench
        .ledger
        .abandon(hand.intent.unwrap(), &hand.tokens())
        .await
        .unwrap();

    assert_eq!(bench.count("intent").await, 0);
    assert_eq!(bench.ad("1").await, ad("pending 1/0", None, false));
    assert_eq!(bench.hand(&["1"]).await.plan(), [(Action::Create, "p-1:a")]);
}

#[tokio::test]
async fn whoever_abandons_late_does_not_free_the_ad_of_another_hand() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let late = bench.hand(&["1"]).await;
    let newer = bench.hand(&["1"]).await;

    bench
        .ledger
        .abandon(late.intent.unwrap(), &late.tokens())
        .await
        .unwrap();

    assert_eq!(bench.ad("1").await, ad("pending 1/0", None, true));
    let overtaken = newer.record(&bench.ledger, Verdict::Reported, done).await;
    assert_eq!(overtaken, [""; 0]);
}

#[tokio::test]
async fn what_a_dead_worker_may_have_sent_is_in_doubt_and_nothing_else() {
    let bench = bench().await;
    bench
        .change(
            "insert into line values (1, 'a', 'C', 1), (2, 'a', 'C', 1), (3, 'a', 'C', 1)",
            &["1", "2", "3"],
        )
        .await;
    bench.report(&["3"]).await;
    let dead = bench.hand(&["1"]).await;
    let living = bench.hand(&["2"]).await;
    drop(dead);
    // The app has changed its mind, so the record is to vanish, if it is there.
    bench
        .change(
            "delete from line where ad_id = 1; insert into line values (1, 'b', 'C', 1)",
            &["1"],
        )
        .await;

    let next = bench.hand(&["1", "3"]).await;

    assert_eq!(
        bench.records().await,
        [
            record("p-1:a", "sending", None),
            record("p-3:a", "reported", Some("id of p-3:a"))
        ]
    );
    assert_eq!(
        next.plan(),
        [(Action::Withdraw, "p-1:a"), (Action::Create, "p-1:b")]
    );
    assert_eq!(
        bench.count("intent").await,
        2,
        "the living one's and the new one"
    );
    let overtaken = living.record(&bench.ledger, Verdict::Reported, done).await;
    assert_eq!(overtaken, [""; 0]);
    next.record(&bench.ledger, Verdict::Reported, done).await;
    assert_eq!(bench.count("intent").await, 0);
    assert_eq!(
        bench
            .records()
            .await
            .into_iter()
            .map(|r| r.0)
            .collect::<Vec<_>>(),
        ["p-1:b", "p-2:a", "p-3:a"]
    );
}

#[tokio::test]
async fn every_field_that_a_dead_worker_may_have_set_is_set_anew_or_cleared() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    bench.report(&["1"]).await;
    let view = "create or replace view usage_sync.usage as select ad_id, line, contract,";
    bench
        .change(
            &format!(
                "{view} jsonb_build_object('Units__c', units, 'Note__c', 'x') as fields from line"
            ),
            &["1"],
        )
        .await;
    drop(bench.hand(&["1"]).await);
    bench
        .change(
            &format!("{view} jsonb_build_object('Units__c', units) as fields from line"),
            &["1"],
        )
        .await;

    let next = bench.hand(&["1"]).await;

    let operation = &next.ads[0].1[0];
    assert_eq!(operation.action, Action::Update);
    assert_eq!(operation.body, r#"{"Units__c": 1, "Note__c": null}"#);
    assert_eq!(operation.salesforce_id.as_deref(), Some("id of p-1:a"));
}

#[tokio::test]
async fn a_dead_workers_intent_is_remembered_while_the_view_cannot_be_read() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    drop(bench.hand(&["1"]).await);
    let view = "create or replace view usage_sync.usage as select ad_id, line, contract,";
    bench
        .change(
            &format!(
                "{view} jsonb_build_object('Units__c', units / (units - 1)) as fields from line"
            ),
            &["1"],
        )
        .await;
    let unreadable = bench.ledger.fence(&["1".to_owned()]).await.unwrap_err();
    let code = unreadable.code().unwrap();
    assert_eq!(code, "22012");

    bench
        .ledger
        .refuse_unreadable("1", &code, &unreadable.message(), HOURS)
        .await
        .unwrap();
    let (state, error, _) = bench.ad("1").await;
    assert_eq!(
        (state.as_str(), error.as_deref()),
        ("rejected 2/2", Some("22012"))
    );

    bench.change("delete from line", &["1"]).await;
    assert_eq!(
        bench.hand(&["1"]).await.plan(),
        [(Action::Withdraw, "p-1:a")]
    );
}

#[tokio::test]
async fn an_ad_that_became_readable_before_it_was_refused_stays_pending() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let view = "create or replace view usage_sync.usage as select ad_id, line, contract,";
    let broken =
        format!("{view} jsonb_build_object('Units__c', 1 / (units - 1)) as fields from line");
    bench.change(&broken, &["1"]).await;
    let unreadable = bench.ledger.fence(&["1".to_owned()]).await.unwrap_err();
    let refuse = async || {
        let message = unreadable.message();
        bench
            .ledger
            .refuse_unreadable("1", "22012", &message, HOURS)
            .await
    };

    bench.change("update line set units = 2", &["1"]).await;
    refuse().await.unwrap();
    assert_eq!(bench.ad("1").await, ad("pending 3/0", None, false));

    bench.change("update line set units = 1", &["1"]).await;
    refuse().await.unwrap();
    assert_eq!(bench.ad("1").await.0, "rejected 4/4");
}

#[tokio::test]
async fn a_lost_answer_leaves_the_record_in_doubt_until_it_is_reported() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, Verdict::Postponed, |_| Outcome::InDoubt)
        .await;

    assert_eq!(bench.records().await, [record("p-1:a", "sending", None)]);
    assert_eq!(bench.ad("1").await, ad("pending 1/0", None, false));
    let hand = bench.hand(&["1"]).await;
    assert_eq!(hand.plan(), [(Action::Update, "p-1:a")]);
    // A refusal changes nothing about the doubt.
    hand.record(&bench.ledger, retried(), refused).await;
    assert_eq!(bench.records().await, [record("p-1:a", "sending", None)]);

    bench.report(&["1"]).await;
    assert_eq!(
        bench.records().await,
        [record("p-1:a", "reported", Some("id of p-1:a"))]
    );
}

#[tokio::test]
async fn a_record_that_is_in_doubt_and_gone_is_forgotten_once_it_is_withdrawn() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let hand = bench.hand(&["1"]).await;
    hand.record(&bench.ledger, Verdict::Postponed, |_| Outcome::InDoubt)
        .await;
    bench.change("delete from line", &["1"]).await;

    let hand = bench.hand(&["1"]).await;
    assert_eq!(hand.plan(), [(Action::Withdraw, "p-1:a")]);
    // It never got there: there is nothing to delete.
    hand.record(&bench.ledger, Verdict::Reported, |_| Outcome::Done(None))
        .await;

    assert_eq!(bench.records().await, []);
}

#[tokio::test]
async fn recording_twice_because_the_first_answer_got_lost_ends_well() {
    let bench = bench().await;
    bench
        .change("insert into line values (1, 'a', 'C', 1)", &["1"])
        .await;
    let hand = bench.hand(&["1"]).await;
    let answers = [usage_sync::ledger::Answer {
        ad_id: "1".to_owned(),
        version: hand.ads[0].0.version,
        token: hand.token(),
        verdict: Verdict::Reported,
        operations: vec![(hand.ads[0].1[0].clone(), done(&hand.ads[0].1[0]))],
        in_steps: false,
    }];

    for _ in 0..2 {
        bench
            .ledger
            .record(hand.intent, &answers, HOURS)
            .await
            .unwrap();
    }
    assert_eq!(bench.count("journal").await, 1);

    bench.report(&["1"]).await;
    assert_eq!(
        bench.records().await,
        [record("p-1:a", "reported", Some("id of p-1:a"))]
    );
    let (state, ..) = bench.ad("1").await;
    assert_eq!(state, "reported 2/2");
}
