//! The service app of `examples/django` in a world of its own.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{self, World};

/// Whatever keeps the app's transaction waiting for longer than this fails it, as
/// does what takes the database longer than even a loaded machine needs.
const IMPATIENCE: &str = "-c lock_timeout=2s -c statement_timeout=20s";

/// The app, and a console in which a test does what people and code of the
/// app do.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(super) python: PathBuf,
    console: Option<Console>,
}

struct Console {
    // Killed with the test.
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shop {
    /// Its database is migrated and it knows two contracts, `contracts` and
    /// their `products`. None where Django cannot be had, which is said.
    pub(crate) async fn open() -> Option<Self> {
        let mut shop = Self::before_its_migration().await?;
        let migrated = shop.manage(&["migrate", "--verbosity", "0"]).await;
        assert!(migrated.status.success(), "{migrated:?}");
        shop.console = Some(Console::start(shop.python("tests/it/django/console.py")));
        let (contracts, products): (Vec<_>, Vec<_>) = shop.world.products.iter().cloned().unzip();
        let known = serde_json::json!([contracts, products]);
        shop.run(&format!("contracts, products = {known}")).await;
        Some(shop)
    }

    /// With the schema `usage_sync` and nothing else in its database.
    pub(crate) async fn before_its_migration() -> Option<Self> {
        let requirements = super::app().join("requirements.txt");
        let python = support::python("django", &requirements)?;
        let world = World::new(2).await;
        world
            .app("drop view usage_sync.usage; drop table ad, ad_product, contract_product")
            .await;
        Some(Self {
            world,
            python,
            console: None,
        })
    }

    /// Runs code as the app does; answers the value of its last expression.
    pub(crate) async fn run(&mut self, code: &str) -> Value {
        let console = self.console.as_mut().expect("the app is open");
        console.run(code).await
    }

    /// The same for what a person reads.
    pub(crate) async fn read(&mut self, code: &str) -> String {
        let value = self.run(code).await;
        value.as_str().expect("words").to_owned()
    }

    /// A command of Django's, run to its end.
    pub(crate) async fn manage(&self, arguments: &[&str]) -> Output {
        self.python("examples/django/manage.py")
            .args(arguments)
            .output()
            .await
            .expect("it can be started")
    }

    fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(super::repository().join(script))
            .current_dir(super::app())
            .env_clear()
            .env("PYTHONPATH", super::app())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DJANGO_SETTINGS_MODULE", "shop.settings")
            .env("DATABASE_URL", &self.world.database.url)
            .env("TEST_TEMPLATE", "app")
            .env("PGOPTIONS", IMPATIENCE)
            .kill_on_drop(true);
        command
    }
}

impl Console {
    fn start(mut python: Command) -> Self {
        let mut process = python
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let output = process.stdout.take().expect("it is piped");
        Self {
            input: process.stdin.take().expect("it is piped"),
            output: BufReader::new(output).lines(),
            _process: process,
        }
    }

    async fn run(&mut self, code: &str) -> Value {
        let line = format!("{}\n", Value::from(code));
        self.input
            .write_all(line.as_bytes())
            .await
            .expect("the console listens");
        let answer = self.output.next_line().await.expect("the console answers");
        let answer = answer.expect("the console lives");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        if let Some(error) = answer["error"].as_str() {
            panic!("the app failed:\n{error}\n{code}");
        }
        answer["value"].take()
    }
}
