//! `docs/integrating.md`, followed word by word from an empty database.
//!
//! Each block of the page is run in its order: `sh` with the environment that
//! the page asks for, `sql` as the role that it names, and `text` is what the
//! query ahead of it answers once the daemon is through.

use std::fs;
use std::path::Path;
use std::process::Command;

use sqlx::{AssertSqlSafe, PgPool};
use usage_sync::local::Redis;
use usage_sync::sandbox::{Options, Sandbox};

use crate::support::{Daemon, Database, PATIENCE, postgres, redis, wait_until};

/// The daemon runs until the page is read; every other command ends.
const RUN: &str = "usage-sync run";

struct Reader {
    database: Database,
    redis: Redis,
    sandbox: Sandbox,
    daemon: Option<Daemon>,
}

/// A block's words behind its opening fence, and what stands in it.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().take_while(|line| *line != "```");
        let text = inside.collect::<Vec<_>>().join("\n");
        blocks.push((kind.to_owned(), text));
    }
    blocks
}

impl Reader {
    async fn with_an_empty_database() -> Self {
        let (database, redis) = tokio::join!(postgres(), redis());
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        Self {
            database,
            redis,
            sandbox,
            daemon: None,
        }
    }

    /// The address of the database for a role.
    fn address(&self, role: &str) -> String {
        let mut url = url::Url::parse(&self.database.url).unwrap();
        url.set_username(role).unwrap();
        url.to_string()
    }

    async fn follow(&mut self, block: &str, text: &str) {
        match block {
            "sh" => self.shell(text).await,
            "sql administrator" => self.sql("postgres", text).await,
            "sql app" => self.sql("service_app", text).await,
            "sql usage_sync" => self.sql("usage_sync", text).await,
            _ => panic!("a reader does not know what to do with a block `{block}`"),
        }
    }

    async fn sql(&self, role: &str, text: &str) {
        let pool = PgPool::connect(&self.address(role)).await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&pool).await;
        done.unwrap_or_else(|error| panic!("{error}\n{text}"));
        pool.close().await;
    }

    /// Waits until the app's query answers so.
    async fn answer(&self, query: &str, text: &str) {
        let pool = PgPool::connect(&self.address("service_app")).await.unwrap();
        wait_until(&format!("{text:?} from {query}"), PATIENCE, async || {
            let query = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(query));
            let answer = query.fetch_optional(&pool).await.unwrap().flatten();
            answer.as_deref() == Some(text)
        })
        .await;
        pool.close().await;
    }

    async fn shell(&mut self, text: &str) {
        let program = Path::new(env!("CARGO_BIN_EXE_usage-sync"));
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", program.parent().unwrap().display());
        let credentials = self.sandbox.credentials();
        let script = if text == RUN {
            // It takes the shell's place, so that it ends with this test.
            format!("exec {text}")
        } else {
            format!("set -e\n{text}")
        };
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script])
            .env_clear()
            .env("PATH", path)
            .env("DATABASE_URL", self.address("usage_sync"))
            .env("REDIS_URL", self.redis.url())
            .env("CONTROL", self.sandbox.control_url())
            .env("SALESFORCE_LOGIN_URL", self.sandbox.base_url())
            .env("SALESFORCE_CLIENT_ID", &credentials.client_id)
            .env("SALESFORCE_USERNAME", &credentials.username)
            .env("SALESFORCE_PRIVATE_KEY", &credentials.private_key);
        let mut process = Daemon::spawn(shell);
        if text == RUN {
            process.logged("usage-sync starts").await;
            self.daemon = Some(process);
        } else {
            let status = process.ended().await;
            assert!(status.success(), "{text}\n{}", process.log());
        }
    }
}

#[tokio::test]
async fn the_page_leads_from_an_empty_database_to_an_ad_in_salesforce_and_back() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/integrating.md");
    let blocks = blocks(&fs::read_to_string(path).unwrap());
    let mut reader = Reader::with_an_empty_database().await;

    let mut answers = 0;
    let mut steps = blocks.iter().peekable();
    while let Some((kind, text)) = steps.next() {
        let answer = steps.next_if(|(next, _)| next == "text");
        if let Some((_, answer)) = answer {
            reader.answer(text, answer).await;
            answers += 1;
        } else {
            reader.follow(kind, text).await;
        }
    }

    assert_eq!(answers, 5, "answers that the page promises");
    assert!(reader.daemon.is_some(), "the page starts the daemon");
    assert!(reader.sandbox.records("Usage__c").unwrap().is_empty());
    let journal = reader.sandbox.stats().records;
    assert_eq!(journal.created, 1);
}
