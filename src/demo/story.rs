//! The first four scenes: one contract from its first ad to its lock.

use std::time::Instant;

use super::app::remember;
use super::org::Contract;
use super::screen::duration;
use super::stage::{Look, Stage, consumption, install_app};
use super::{Error, burst};

const FIRST_AD: &str = "\
begin;
insert into ad values (1, '00000101', 'Bread that sings');
insert into ad_product values (1, 'small', 1);
commit;";

const DURING_THE_OUTAGE: [&str; 3] = [
    "\
begin;
insert into ad values (2, '00000101', 'Open on Sundays');
insert into ad_product values (2, 'gigantic', 1);
commit;",
    "\
begin;
insert into ad values (3, '00000101', 'Rolls at six');
insert into ad_product values (3, 'gigantic', 1);
commit;",
    "\
begin;
insert into ad values (4, '00000101', 'Cake by the yard');
insert into ad_product values (4, 'gigantic', 1);
commit;",
];

const STATES: &str = "\
select ad_id, state from usage_sync.ad_status order by ad_id;";

const MISTAKE: &str = "\
begin;
insert into ad values (5, '00000101', 'Come and taste');
insert into ad_product values (5, 'small', 3);
commit;";

const CORRECTION: &str = "\
begin;
delete from ad_product where ad_id = 5;
insert into ad_product values (5, 'gigantic', 1);
commit;";

const LAST_AD: &str = "\
begin;
insert into ad values (6, '00000101', 'Thank you');
insert into ad_product values (6, 'gigantic', 1), (6, 'small', 2);
commit;";

const TOO_LATE: &str = "update ad_product set quantity = 2 where ad_id = 1;";

const WHY: &str = "\
select ad_id, state, reason
from usage_sync.ad_status where ad_id = '1';";

const TAKEN_BACK: &str = "update ad_product set quantity = 1 where ad_id = 1;";

/// Tells the whole story.
pub(crate) async fn tell(stage: &mut Stage) -> Result<(), Error> {
    let contract = opening(stage).await?;
    first_ad(stage, &contract).await?;
    outage(stage, &contract).await?;
    mistake(stage, &contract).await?;
    fulfilment(stage, &contract).await?;
    burst::tell(stage).await
}

async fn opening(stage: &mut Stage) -> Result<Contract, Error> {
    let servers = format!(
        "Postgres    127.0.0.1:{}\nRedis       127.0.0.1:{}\nSalesforce  {} (the sandbox)",
        stage.postgres.port(),
        stage.redis.port(),
        stage.org.base_url(),
    );
    stage.screen.run(&servers)?;
    stage.screen.say("The service app has tables of its own:")?;
    install_app(stage).await?;

    let products = [("gigantic", 5), ("small", 3)];
    let contract = stage
        .org
        .close_contract("Sunrise Bakery", &products)
        .await?;
    stage.screen.say(
        "In Salesforce, sales has closed contract 00000101 with Sunrise Bakery: 5 gigantic ads \
         and 3 small ones. The app remembers what Salesforce calls them:",
    )?;
    stage.app_runs(&remember(&contract)).await?;
    stage.screen.say("The daemon is started:")?;
    let pid = stage.daemon.start()?;
    stage
        .screen
        .run(&format!("usage-sync run        # process {pid}"))?;
    Ok(contract)
}

async fn first_ad(stage: &mut Stage, contract: &Contract) -> Result<(), Error> {
    stage.screen.title("1. An ad is made")?;
    stage.screen.say(
        "The service team makes a small ad. The app writes its own two tables and nothing else.",
    )?;
    stage.app_runs(FIRST_AD).await?;
    let committed = Instant::now();
    stage.arrives(contract, &["0", "1"]).await?;
    let took = duration(committed.elapsed());
    stage
        .screen
        .say(&format!("Salesforce shows it {took} after the commit:"))?;
    stage.show(contract).await
}

async fn outage(stage: &mut Stage, contract: &Contract) -> Result<(), Error> {
    stage.screen.title("2. Salesforce is down")?;
    stage
        .screen
        .say("Salesforce stops working. Whoever asks it for anything gets an error page:")?;
    stage.org.go_down().await?;
    let answer = stage.org.answer().await?;
    let request = format!("GET {}/services/data", stage.org.base_url());
    stage.screen.run(&format!("{request}\n{answer}"))?;

    stage.screen.say(
        "The service team does not notice: it makes three gigantic ads, and every commit is as \
         quick as ever.",
    )?;
    for sql in DURING_THE_OUTAGE {
        let start = Instant::now();
        stage.app_runs(sql).await?;
        let took = duration(start.elapsed());
        stage.screen.aside(&format!("-- {took}"))?;
    }
    stage
        .until("the daemon to have tried", async |stage| {
            let sql = "select count(*) from usage_sync.ad_status where state = 'pending'";
            let pending = stage.app.count(sql).await?;
            // One request was our own.
            let refused = stage.org.refused().await? - 1;
            Ok(if pending == 3 && refused > 1 {
                Look::Seen(())
            } else {
                Look::NotYet(format!("{pending} ads pending, {refused} requests refused"))
            })
        })
        .await?;
    stage
        .screen
        .say("The app can see that they are not there yet, and so can its users:")?;
    stage.app_asks(STATES).await?;
    recovery(stage, contract).await
}

async fn recovery(stage: &mut Stage, contract: &Contract) -> Result<(), Error> {
    stage.show(contract).await?;
    let refused = stage.org.refused().await? - 1;
    stage.org.come_back().await?;
    let back = Instant::now();
    stage.arrives(contract, &["3", "1"]).await?;
    let took = duration(back.elapsed());
    stage.screen.say(&format!(
        "Salesforce comes back, having refused {refused} requests. {took} later everything has \
         arrived, and nobody did anything:",
    ))?;
    stage.show(contract).await?;
    let comparison = stage.compare().await?;
    if !comparison.holds() {
        return Err(Error::Differs(comparison.to_string()));
    }
    let ads = comparison.wanted;
    let records = stage.org.usage_count().await?;
    let once = format!("{ads} ads in the app, {records} usage records in Salesforce: each once");
    Ok(stage.screen.outcome(true, &once)?)
}

async fn mistake(stage: &mut Stage, contract: &Contract) -> Result<(), Error> {
    stage.screen.title("3. A mistake is corrected")?;
    stage.screen.say(
        "For ad 5 somebody books 3 small ads where it should be 1 gigantic one: more than the \
         contract has.",
    )?;
    stage.app_runs(MISTAKE).await?;
    stage.arrives(contract, &["3", "4"]).await?;
    stage.show(contract).await?;
    stage.screen.say(
        "The app corrects it. The 3 small ones go and the gigantic one comes in one step: \
         Salesforce never shows half of it.",
    )?;
    stage.app_runs(CORRECTION).await?;
    let committed = Instant::now();
    let (before, after) = (["3", "4"], ["4", "1"]);
    stage
        .until("the correction to arrive in Salesforce", async |stage| {
            let now = consumption(&stage.org.products(contract).await?);
            if now == after {
                return Ok(Look::Seen(()));
            }
            if now != before {
                let seen = now.join(" and ");
                return Err(Error::Half(seen));
            }
            Ok(Look::NotYet(String::from("Salesforce shows the mistake")))
        })
        .await?;
    let took = duration(committed.elapsed());
    stage
        .screen
        .say(&format!("Salesforce shows it {took} after the commit:"))?;
    stage.show(contract).await
}

async fn fulfilment(stage: &mut Stage, contract: &Contract) -> Result<(), Error> {
    stage
        .screen
        .title("4. The contract is fulfilled and locked")?;
    stage.screen.say(
        "A last ad takes what is left. Sales sets the contract to Fulfilled, and Salesforce \
         locks what was reported.",
    )?;
    stage.app_runs(LAST_AD).await?;
    stage.arrives(contract, &["5", "3"]).await?;
    stage.org.set_status(contract, "Fulfilled").await?;
    stage.show(contract).await?;

    stage.screen.say("Somebody changes ad 1 all the same:")?;
    stage.app_runs(TOO_LATE).await?;
    becomes(stage, "rejected").await?;
    stage
        .screen
        .say("Salesforce refuses, stays as it was, and the app sees why:")?;
    stage.app_asks(WHY).await?;
    stage.show(contract).await?;

    stage
        .screen
        .say("The app takes the change back, and the two agree again:")?;
    stage.app_runs(TAKEN_BACK).await?;
    becomes(stage, "reported").await?;
    stage.app_asks(WHY).await
}

/// Waits until the app sees ad 1 in this state.
async fn becomes(stage: &mut Stage, wanted: &str) -> Result<(), Error> {
    stage
        .until("Salesforce's answer about ad 1", async |stage| {
            let answer = stage.app.ask(WHY).await?;
            let now = answer.rows.first().and_then(|row| row.get(1));
            let now = now.map_or("unknown", String::as_str);
            Ok(if now == wanted {
                Look::Seen(())
            } else {
                Look::NotYet(format!("the ad is {now}"))
            })
        })
        .await
}
