//! The last scene: the daemon is killed in the middle of much work, Redis
//! forgets everything, and in the end every record is compared.

use std::time::Instant;

use super::Error;
use super::app::remember;
use super::org::Contract;
use super::screen::{duration, thousands};
use super::stage::{Look, Stage};

const CUSTOMERS: [&str; 4] = ["Harbour Cinema", "Old Mill", "Lake Hotel", "Bike Doctor"];
const UNITS: u32 = 1_000;

/// Ads of the burst, and of one transaction of it.
const ADS: u32 = 2_000;
const AT_ONCE: u32 = 100;
const FIRST_ID: u32 = 1_001;

/// What Salesforce needs for a call, and on top for a record: a kill must find
/// requests in flight.
const CALL_MS: u64 = 100;
const RECORD_MS: u64 = 1;

const CORRECTIONS: &str = "\
update ad_product set quantity = quantity + 0.05 where ad_id between 1101 and 1200;
delete from ad where id between 1201 and 1250;";

const REPORTED: &str = "\
select count(*) from ad join usage_sync.ad_status on ad_id = id::text
where state = 'reported'";

/// Kills, flushes, starts again, and compares.
pub(crate) async fn tell(stage: &mut Stage) -> Result<(), Error> {
    stage
        .screen
        .title("5. A burst of 2,000 ads, kill -9, and Redis is flushed")?;
    let contracts = close_contracts(stage).await?;
    first_half(stage).await?;
    disaster(stage).await?;
    second_half(stage).await?;
    restart(stage, &contracts).await?;
    verdict(stage).await
}

async fn close_contracts(stage: &mut Stage) -> Result<Vec<Contract>, Error> {
    let mut contracts = Vec::new();
    for customer in CUSTOMERS {
        let products = [("small", UNITS)];
        let contract = stage.org.close_contract(customer, &products).await?;
        stage.app.run(&remember(&contract)).await?;
        contracts.push(contract);
    }
    stage.org.take_time(CALL_MS, RECORD_MS).await?;
    stage.screen.say(
        "Four more contracts, 1,000 small ads each. From here Salesforce takes its time: 100 ms \
         for a call and 1 ms more for each record. The app makes the first 1,000 ads, in ten \
         transactions like this one:",
    )?;
    Ok(contracts)
}

async fn first_half(stage: &mut Stage) -> Result<(), Error> {
    stage.screen.run(&transaction(FIRST_ID))?;
    for id in (FIRST_ID..FIRST_ID + ADS / 2).step_by(AT_ONCE as usize) {
        stage.app.run(&transaction(id)).await?;
    }
    // Those of the first four scenes are there already.
    let before = stage.org.usage_count().await?;
    stage
        .until("the first ads to arrive in Salesforce", async |stage| {
            let now = stage.org.usage_count().await?;
            Ok(if now > before {
                Look::Seen(())
            } else {
                Look::NotYet(String::from("none has"))
            })
        })
        .await
}

async fn disaster(stage: &mut Stage) -> Result<(), Error> {
    let pid = stage.daemon.pid().unwrap_or_default();
    stage.daemon.kill()?;
    flush(&stage.redis.url()).await?;
    let arrived = thousands(stage.org.usage_count().await?);
    stage.screen.say(&format!(
        "Salesforce holds {arrived} usage records and is busy with more. Now the daemon is killed \
         without a warning, and Redis forgets all it knows:"
    ))?;
    let port = stage.redis.port();
    let commands = format!("kill -9 {pid}\nredis-cli -p {port} flushall");
    Ok(stage.screen.run(&commands)?)
}

async fn second_half(stage: &mut Stage) -> Result<(), Error> {
    stage.screen.say(
        "The app does not notice. It makes the other 1,000 ads, corrects 100 and removes 50, \
         some of which Salesforce knows already:",
    )?;
    let half = FIRST_ID + ADS / 2;
    for id in (half..half + ADS / 2).step_by(AT_ONCE as usize) {
        stage.app.run(&transaction(id)).await?;
    }
    stage.app_runs(CORRECTIONS).await
}

async fn restart(stage: &mut Stage, contracts: &[Contract]) -> Result<(), Error> {
    stage.screen.say("The daemon is started again:")?;
    let pid = stage.daemon.start()?;
    let started = Instant::now();
    stage
        .screen
        .run(&format!("usage-sync run        # process {pid}"))?;
    stage
        .until("all ads to be reported", async |stage| {
            let reported = stage.app.count(REPORTED).await?;
            let ads = stage.app.count("select count(*) from ad").await?;
            if reported < ads {
                let (reported, ads) = (thousands(reported), thousands(ads));
                return Ok(Look::NotYet(format!("{reported} of {ads} are")));
            }
            // A change that is still in the outbox does not show in the states.
            let comparison = stage.compare().await?;
            Ok(if comparison.holds() {
                Look::Seen(())
            } else {
                Look::NotYet(comparison.to_string())
            })
        })
        .await?;
    let took = duration(started.elapsed());
    stage
        .screen
        .say(&format!("Everything has arrived {took} after the start:"))?;
    show_all(stage, contracts).await
}

async fn show_all(stage: &mut Stage, contracts: &[Contract]) -> Result<(), Error> {
    let mut rows = Vec::new();
    for contract in contracts {
        for product in stage.org.products(contract).await? {
            let numbers = [&product.units, &product.consumed, &product.available];
            let mut row = vec![contract.number.clone(), product.code.clone()];
            row.extend(numbers.map(|number| number.get().to_owned()));
            rows.push(row);
        }
    }
    let header = ["contract", "product", "units", "consumed", "available"];
    Ok(stage
        .screen
        .table("As Salesforce sees it", &header, &rows)?)
}

/// Compares when nothing moves any more, so that what holds stays so.
async fn verdict(stage: &mut Stage) -> Result<(), Error> {
    stage.stop_daemon().await?;
    let comparison = stage.compare().await?;
    stage.screen.say(&format!(
        "The daemon is stopped, and {} usage records that the app's view asks for are compared \
         with those in Salesforce, field by field and digit by digit:",
        thousands(comparison.wanted)
    ))?;
    let examples: Vec<String> = comparison.examples().collect();
    if !examples.is_empty() {
        stage.screen.run(&examples.join("\n"))?;
    }
    let text = comparison.to_string();
    stage.screen.outcome(comparison.holds(), &text)?;
    if comparison.holds() {
        Ok(())
    } else {
        Err(Error::Differs(text))
    }
}

/// A transaction of the app: so many ads from this id on.
fn transaction(id: u32) -> String {
    let last = id + AT_ONCE - 1;
    format!(
        "\
begin;
insert into ad
select id, '0000010' || 2 + id % 4, 'Ad ' || id from generate_series({id}, {last}) as id;
insert into ad_product
select id, 'small', 0.25 * (1 + id % 8) from generate_series({id}, {last}) as id;
commit;"
    )
}

async fn flush(url: &str) -> Result<(), Error> {
    let client = redis::Client::open(url).map_err(Error::Redis)?;
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .map_err(Error::Redis)?;
    redis::cmd("FLUSHALL")
        .exec_async(&mut connection)
        .await
        .map_err(Error::Redis)
}
