//! The ops page in a real browser, where there is one: login, outage, rejected,
//! retry, contract, on a phone, in the dark, by keyboard alone, with axe looking
//! at each. `browser.py` is what the person does; here stands the world around.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use usage_sync::sandbox::{Effect, Plan};

use super::{Gateway, TOKEN};
use crate::support::{World, python, skipped};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/web/browser.txt");
const WALK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/web/browser.py");

/// Debian's name for it, and others'.
fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

async fn walk(python: &Path, chromium: &Path, gateway: &Gateway, world: &World, part: &str) {
    let screens = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screens");
    let output = Command::new(python)
        .args([WALK, part])
        .arg(format!("http://{}", gateway.address))
        .args([TOKEN, &world.products[0].0])
        .arg(chromium)
        .arg(screens)
        .output()
        .await
        .expect("python is there");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{part}: {}",
        String::from_utf8_lossy(&said)
    );
}

#[tokio::test]
async fn a_person_with_a_browser_sees_what_is_wrong_and_mends_it() {
    let Some(chromium) = chromium() else {
        skipped("browser", "there is no chromium on this machine");
        return;
    };
    let Some(python) = python("browser", Path::new(REQUIREMENTS)) else {
        return;
    };
    let (world, _daemon) = World::reporting().await;
    world
        .app("insert into ad_product select n, 'small', 0, n from generate_series(2, 40) n")
        .await;
    world.in_step().await;
    let gateway = Gateway::of(&world).await;
    walk(&python, &chromium, &gateway, &world, "calm").await;

    world.set_contract(0, "Fulfilled");
    world
        .app("update ad_product set quantity = quantity + 1 where ad_id <= 3")
        .await;
    for ad in ["1", "2", "3"] {
        world.ad_is(ad, "rejected").await;
    }
    world.set_contract(0, "Activated");
    walk(&python, &chromium, &gateway, &world, "rejected").await;
    world.in_step().await;

    let outage = world
        .sandbox
        .fault(Plan::always(Effect::HtmlPage { status: 503 }));
    world
        .app("update ad_product set quantity = quantity + 1 where ad_id <= 30")
        .await;
    gateway_sees_the_outage(&gateway).await;
    walk(&python, &chromium, &gateway, &world, "outage").await;
    world.sandbox.end_fault(outage);
    world.in_step().await;
}

async fn gateway_sees_the_outage(gateway: &Gateway) {
    crate::support::wait_until(
        "the outage to be told",
        crate::support::PATIENCE,
        async || gateway.get("/status").await.json()["salesforce"]["up"] == false,
    )
    .await;
}
