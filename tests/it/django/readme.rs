//! `examples/django/README.md`, section "Try it", typed into a shell word by
//! word; what it says that one sees is seen.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::shop::Shop;
use crate::support::{PATIENCE, wait_until};

/// A person's shell. When nobody types any more, it ends what runs in its
/// background, and itself.
struct Shell {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    /// In `folder`, after the section "Prepare".
    fn prepared(shop: &Shop, folder: &Path) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_usage-sync")).parent();
        let python = shop.python.parent();
        let path = std::env::var("PATH").unwrap();
        let [program, python] = [program, python].map(|folder| folder.unwrap().display());
        let mut process = Command::new("bash")
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{python}:{program}:{path}"))
            .env("DATABASE_URL", &shop.world.database.url)
            .env("REDIS_URL", shop.world.redis.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(output).lines(),
            _process: process,
        }
    }

    /// Types this; answers what is printed until it is done.
    async fn types(&mut self, text: &str) -> String {
        let line = format!("{{ set -e; {text}\nset +e; }} </dev/null 2>&1; echo done-$?\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
        let mut printed = String::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            if line == "done-0" {
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        panic!("{text}\nfailed: {printed}");
    }
}

/// Blocks of commands with the lines that the page shows after each.
fn steps(section: &str) -> Vec<(String, Vec<&str>)> {
    let mut steps: Vec<(String, Vec<&str>)> = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let inside = lines.by_ref().take_while(|line| *line != "```");
            steps.push((inside.collect::<Vec<_>>().join("\n"), Vec::new()));
        } else if let Some(shown) = line.strip_prefix("    ") {
            let (_, expected) = steps.last_mut().expect("something was typed");
            expected.push(shown);
        }
    }
    steps
}

#[tokio::test]
async fn the_readme_leads_from_an_empty_database_to_a_synced_ad() {
    let Some(shop) = Shop::before_its_migration().await else {
        return;
    };
    shop.world.app("drop schema usage_sync cascade").await;
    let folder = tempfile::tempdir().unwrap();
    let copy = std::process::Command::new("cp")
        .args(["-r", "ads", "shop", "manage.py", "sandbox.py"])
        .arg(folder.path())
        .current_dir(super::app())
        .status();
    assert!(copy.unwrap().success());
    let page = fs::read_to_string(super::app().join("README.md")).unwrap();
    let (_, section) = page.split_once("## Try it").unwrap();
    let (section, _) = section.split_once("The same in the admin").unwrap();
    let mut shell = Shell::prepared(&shop, folder.path());
    shell.types("trap 'kill $(jobs -p)' EXIT").await;

    let mut shown = 0;
    for (commands, expected) in steps(section) {
        let printed = shell.types(&commands).await;
        for line in expected {
            assert!(
                printed.lines().any(|printed| printed == line),
                "{line}\n{printed}"
            );
            shown += 1;
        }
        // "A moment later", says the page.
        if commands.contains("manage.py shell") {
            wait_until("nothing to be pending", PATIENCE, async || {
                shop.world.pending().await == 0
            })
            .await;
        }
    }

    assert_eq!(shown, 5, "lines that the page shows");
    let sandbox = shell.types("python sandbox.py show").await;
    assert!(sandbox.contains("small: 5.0 consumed"), "{sandbox}");
    shell.types("kill %1 %2; wait").await;
}
