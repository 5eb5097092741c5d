//! `demo --keep`: everything stays, and a person may look around.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::Error;
use super::stage::Stage;

const KEY: &str = "salesforce.pem";
const TOKEN: &str = "salesforce.token";
const VARIABLES: &str = "env";
/// How often it is looked whether the daemon still runs.
const LOOK: Duration = Duration::from_millis(500);

/// Starts the daemon again, says what may be tried, and stays until the future
/// is dropped or the daemon ends.
pub(crate) async fn stay(stage: &mut Stage) -> Result<(), Error> {
    stage.org.take_time(0, 0).await?;
    stage.daemon.start()?;
    let directory = stage.daemon.directory().to_owned();
    let credentials = stage.org.credentials();
    write(&directory.join(KEY), &credentials.private_key)?;
    let header = format!("Authorization: Bearer {}\n", stage.org.token().await?);
    write(&directory.join(TOKEN), &header)?;
    let variables = variables(stage);
    write(&directory.join(VARIABLES), &variables)?;

    stage.screen.title("Everything is left running")?;
    let file = directory.join(VARIABLES);
    stage
        .screen
        .say("In another terminal, take over these variables:")?;
    stage.screen.run(&format!(". {}", file.display()))?;
    stage.screen.run(&variables)?;
    for (what, how) in things_to_try(stage, &directory) {
        stage.screen.say(what)?;
        stage.screen.run(&how)?;
    }
    stage.screen.say("Ctrl-C ends everything and removes it.")?;
    loop {
        stage.daemon.check()?;
        sleep(LOOK).await;
    }
}

/// For a shell. The key stands in a file of its own.
fn variables(stage: &Stage) -> String {
    let directory = stage.daemon.directory();
    let mut lines = vec![format!(
        "export APP_DATABASE_URL={}",
        quoted(&stage.app_url)
    )];
    for (name, value) in stage.daemon.environment() {
        let value = if *name == "SALESFORCE_PRIVATE_KEY" {
            let key = quoted(&directory.join(KEY).display().to_string());
            format!("\"$(cat {key})\"")
        } else {
            quoted(value)
        };
        lines.push(format!("export {name}={value}"));
    }
    if let Some(folder) = stage.daemon.program().parent() {
        let folder = quoted(&folder.display().to_string());
        lines.push(format!("export PATH={folder}:\"$PATH\""));
    }
    lines.join("\n") + "\n"
}

fn things_to_try(stage: &Stage, directory: &Path) -> [(&'static str, String); 8] {
    let control = stage.org.control_url();
    let token = quoted(&directory.join(TOKEN).display().to_string());
    [
        ("How does it stand?", String::from("usage-sync status")),
        (
            "Make an ad, as the app does; the last contract has units left:",
            String::from(
                "psql \"$APP_DATABASE_URL\" <<'SQL'\n\
                 insert into ad values (9001, '00000105', 'My own ad');\n\
                 insert into ad_product values (9001, 'small', 1.5);\n\
                 SQL",
            ),
        ),
        (
            "What became of it?",
            String::from(
                "psql -x \"$APP_DATABASE_URL\" -c \\\n  \
                 \"select * from usage_sync.ad_status where ad_id = '9001'\"",
            ),
        ),
        (
            "What is left of its contract?",
            String::from("usage-sync contract 00000105"),
        ),
        (
            "See it as whoever is on call does, at http://127.0.0.1:8080/ with this token:",
            String::from("WEB_TOKEN=open-sesame-on-my-machine PORT=8080 usage-sync web"),
        ),
        (
            "Ask Salesforce, in its own language:",
            format!(
                "curl -sG -H @{token} \\\n  \
                 \"$SALESFORCE_LOGIN_URL/services/data/v67.0/query\" --data-urlencode \\\n  \
                 'q=SELECT External_Id__c, Quantity__c FROM Usage__c ORDER BY CreatedDate DESC LIMIT 5'"
            ),
        ),
        (
            "Take Salesforce down, and let it come back:",
            format!(
                "curl -X POST {control}/faults -H 'content-type: application/json' \\\n  \
                 -d '{{\"effect\": {{\"kind\": \"html_page\", \"status\": 503}}, \"path\": \"/services\"}}'\n\
                 curl -X DELETE {control}/faults"
            ),
        ),
        (
            "Read what the daemon says:",
            format!("tail -f {}", stage.daemon.log_file().display()),
        ),
    ]
}

/// For nobody else's eyes.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::Machine)?;
    file.write_all(text.as_bytes()).map_err(Error::Machine)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
