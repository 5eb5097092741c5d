//! The gateway as programs of others see it: a validator reads its description,
//! and schemathesis asks whatever the description lets anybody ask, and more.

use std::path::Path;

use tokio::process::Command;

use super::{Gateway, TOKEN};
use crate::support::{World, python};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/web/requirements.txt");
const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/openapi.json");

async fn run(command: &mut Command) -> String {
    let output = command.output().await.expect("python is there");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn others_find_no_fault_with_the_description_and_the_answers() {
    let Some(python) = python("gateway", Path::new(REQUIREMENTS)) else {
        return;
    };
    let mut validator = Command::new(&python);
    run(validator.args(["-m", "openapi_spec_validator", DESCRIPTION])).await;

    let (world, _daemon) = World::reporting().await;
    let gateway = Gateway::with(&world, &[("WEB_RATE_LIMIT", "100000")]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut schemathesis = Command::new(python.with_file_name("schemathesis"));
    let said = run(schemathesis
        .current_dir(&folder)
        .args([
            "run",
            "--no-color",
            "--max-examples",
            "40",
            "--phases",
            "examples,coverage,fuzzing",
        ])
        // The same questions each time, whatever the machine: one that takes its time
        // to make them up, or to answer, is no fault of the gateway.
        .args([
            "--generation-deterministic",
            "--suppress-health-check",
            "too_slow",
            "--request-timeout",
            "40",
        ])
        // Guesses are slowed down by address, so it would be kept out. That the last
        // three characters of an id have to fit the others cannot be described.
        .args(["--exclude-checks", "ignored_auth,positive_data_acceptance"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {TOKEN}"))
        .arg(format!("http://{}/openapi.json", gateway.address)))
    .await;
    assert!(said.contains("✅ Fuzzing"), "{said}");
    assert!(
        !gateway.process.log().contains("a bug"),
        "{}",
        gateway.process.log()
    );
}
