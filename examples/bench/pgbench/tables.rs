//! The app's tables, watched, and copies of them that are not.

use sqlx::{AssertSqlSafe, Executor as _};

use crate::Error;
use crate::stage::Stage;

/// The schema of the copies; its tables have the same names.
pub(super) const UNWATCHED: &str = "unwatched";

/// New ads get numbers from here on, so that they are told from those that
/// are always there.
const COPIES: &str = "
create sequence new_ad start 1000000000 cache 100;
create schema unwatched;
create table unwatched.ad (like ad including all);
create table unwatched.line (like line including all,
    foreign key (ad_id) references unwatched.ad, foreign key (product) references product);
insert into unwatched.ad select * from ad;
insert into unwatched.line select * from line";

/// As it was before the turn: without the new ads, with those that were removed.
const RESTORE: &str = "
delete from line where ad_id >= 1000000000;
delete from ad where id >= 1000000000;
insert into ad (id, title)
    select id, 'ad ' || id from generate_series(1, ADS) as id on conflict do nothing;
insert into line (ad_id, number, product, quantity)
    select id, number, id % (select count(*) from product), 1 + (id + number) % 9
    from generate_series(1, ADS) as id, generate_series(1, 2) as number on conflict do nothing";

/// Between two turns, so that none pays for the garbage of the one before.
const TIDY: [&str; 2] = ["vacuum analyze", "checkpoint"];

/// The tables with their ads.
pub(super) struct Tables {
    pub(super) ads: u32,
}

impl Tables {
    /// Fills them with so many ads.
    pub(super) async fn fill(stage: &Stage, ads: u32) -> Result<Self, Error> {
        let ads = ads.max(1);
        stage.app.import(1, i64::from(ads)).await?;
        sqlx::raw_sql(COPIES).execute(&stage.app.pool).await?;
        Ok(Self { ads })
    }

    /// Makes both pairs what they were.
    pub(super) async fn restore(&self, stage: &Stage) -> Result<(), Error> {
        let mut connection = stage.app.pool.acquire().await?;
        let restore = RESTORE.replace("ADS", &self.ads.to_string());
        for path in ["public", "unwatched, public"] {
            let statements = format!("set search_path to {path}; {restore}; reset search_path");
            connection
                .execute(sqlx::raw_sql(AssertSqlSafe(statements)))
                .await?;
        }
        for statement in TIDY {
            connection.execute(statement).await?;
        }
        Ok(())
    }
}
