//! What can be written after `usage-sync`, and the help for it.

#[cfg(feature = "sandbox")]
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::Exit;

/// Keeps a service app's Postgres and Salesforce in step: every ad reported
/// once, late at worst, never lost.
///
/// Settings come from environment variables, such as `DATABASE_URL`,
/// `REDIS_URL` and `SALESFORCE_CLIENT_ID`; config/default.toml lists them all.
#[derive(Debug, Parser)]
#[command(name = "usage-sync", version, arg_required_else_help = false)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", Exit::explained()))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  usage-sync check                    see what is missing before the first start
  usage-sync migrate                  create or update the schema usage_sync
  usage-sync run                      start the daemon
  usage-sync status --watch           watch it work";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon: listener and worker together
    #[command(after_help = "\
Examples:
  usage-sync run                      until SIGTERM or Ctrl-C
  LOG_LEVEL=debug usage-sync run      with every step in the log

A stop finishes what is in flight within SHUTDOWN_TIMEOUT and exits 0.
A second Ctrl-C ends at once; nothing is lost then either.")]
    Run,

    /// Create or update the schema `usage_sync` in the app's database
    #[command(after_help = "\
Examples:
  usage-sync migrate                  as often as you like
  heroku run -- usage-sync migrate    by hand, next to Heroku's release phase

Needs DATABASE_URL only.")]
    Migrate,

    /// Check settings, Postgres, Redis and Salesforce, and say what to do
    #[command(after_help = "\
Examples:
  usage-sync check                    a line for each thing: ok, warning or failed
  usage-sync check --json             for a program")]
    Check(CheckArgs),

    /// Show queue, lag, rejected ads and whether Salesforce is up
    #[command(after_help = "\
Examples:
  usage-sync status                   once
  usage-sync status --watch           until Ctrl-C
  usage-sync status --json            for a program")]
    Status(StatusArgs),

    /// Stop reporting, in every daemon, until `resume`
    #[command(after_help = "\
Examples:
  usage-sync pause                                   within 2 seconds
  usage-sync pause --because 'contract clean-up'     and say why

Changes of the app are still captured and wait in the database; what is in
flight is finished. It holds over restarts. `usage-sync status` shows it.")]
    Pause(PauseArgs),

    /// Report again after `pause`
    #[command(after_help = "\
Examples:
  usage-sync resume                   within 2 seconds; what waited goes out")]
    Resume,

    /// Confirm that reports go out from this database to this org from now on
    #[command(after_help = "\
Examples:
  usage-sync rebase --dry-run         what was written down, what is, what would be done
  usage-sync rebase                   do it
  usage-sync rebase --withdraw-unknown
                                      do it though the org holds records that
                                      nobody here knows, and withdraw those

After a backup was restored, the database moved or was upgraded, or the org
became another one, daemons report nothing and say so. This reads all usage
records of the org (one call for 2000), marks what differs from the ledger, so
that it is reported anew or withdrawn, and lets the daemons go on. Stop whatever
still reports from the old database first. On a copy for staging do not run it
with production's SALESFORCE_ variables: it would make the copy the place that
bills. Interrupted, it is run again.")]
    Rebase(RebaseArgs),

    /// Report ads again now, at the tail of the queue
    #[command(after_help = "\
Examples:
  usage-sync retry 42 43              these two ads
  usage-sync retry --rejected         every ad that Salesforce has rejected")]
    Retry(RetryArgs),

    /// Show what was reported of an ad, or what was billed on a contract at a moment
    #[command(after_help = "\
Examples:
  usage-sync history 42                              all that was reported of this ad
  usage-sync history 42 --json                       for a program
  usage-sync history --contract 00000101             what stands on this contract now
  usage-sync history --contract 00000101 --at 2026-11-01T00:00:00Z --csv
                                                     what stood when the month began

A contract is named by its id or its number. Times are UTC. A line for each
record, with tabs between where the answer is no terminal.")]
    History(HistoryArgs),

    /// Show the rejected ads, grouped by what they are rejected for
    #[command(after_help = "\
Examples:
  usage-sync rejected                 each cause with its ads, and one of them
  usage-sync rejected --json          for a program")]
    Rejected(RejectedArgs),

    /// Show a contract with its products, as Salesforce has it now
    #[command(after_help = "\
Examples:
  usage-sync contract 00000101        by its number
  usage-sync contract 8005g00000AbCdEAAV
                                      by its id, of 15 or 18 characters
  usage-sync contract --account 0015g00000XyZaBAAV
                                      all contracts of an account
  usage-sync contract 00000101 --json for a program

Read live; nothing is kept. Pending are units that the app has committed and
Salesforce has not been told of: they are no longer to be had, though Salesforce
still counts them as available. Exits 1 if there is no such contract, 69 if
Salesforce does not answer within SALESFORCE_READ_TIMEOUT.")]
    Contract(ContractArgs),

    /// Enqueue ads that existed before installation, or all after a new mapping
    #[command(after_help = "\
Examples:
  usage-sync backfill --dry-run            how many ads it would be
  usage-sync backfill --since 2026-11-01   ads of this month
  usage-sync backfill --after 4711         go on after an interruption")]
    Backfill(BackfillArgs),

    /// Compare every record in Salesforce with what the app wants
    #[command(after_help = "\
Examples:
  usage-sync audit                    missing, extra, different, refused
  usage-sync audit --repair           and have the daemons set them right
  usage-sync audit --contract 800xx000000001AAA
                                      one contract, by what the view calls it
  usage-sync audit --json             all of them, for a program

Exits 1 if anything differs. An ad that waits to be reported is left out: it is
only late. What Salesforce refused, most often because the contract is
fulfilled, is counted as locked, and a repair leaves it as it is. With
--contract an extra record shows only if it was reported from here.
Costs a call for some 300 records.")]
    Audit(AuditArgs),

    /// Run the contract gateway and the ops page
    #[command(after_help = "\
Examples:
  usage-sync web                      on PORT, until SIGTERM or Ctrl-C

Asks every caller for the token in WEB_TOKEN. GET /openapi.json describes the
gateway; GET /healthz says that the process lives, to anybody.")]
    Web,

    /// Show the whole story on this machine, with servers of its own
    #[cfg(feature = "sandbox")]
    #[command(after_help = "\
Examples:
  usage-sync demo                     needs neither settings nor accounts
  usage-sync demo --keep              leave everything running to look around")]
    Demo(DemoArgs),

    /// Run only the Salesforce sandbox
    #[cfg(feature = "sandbox")]
    #[command(after_help = "\
Examples:
  usage-sync sandbox                             on a free port
  usage-sync sandbox --port 8787 --ready-file sandbox.json

Prints one line of JSON with its addresses and credentials once it listens.
Needs no login below its control_url: POST /records/Account makes a record,
POST /faults an outage, DELETE /faults ends it.")]
    Sandbox(SandboxArgs),
}

impl Command {
    /// Whether the command finishes what it holds when it is told to stop; the
    /// others hold nothing and end there and then.
    pub(crate) fn drains(&self) -> bool {
        match self {
            Self::Run | Self::Web | Self::Backfill(_) | Self::Rebase(_) => true,
            #[cfg(feature = "sandbox")]
            Self::Demo(_) | Self::Sandbox(_) => true,
            Self::Status(args) => args.watch,
            Self::Migrate
            | Self::Check(_)
            | Self::History(_)
            | Self::Rejected(_)
            | Self::Contract(_)
            | Self::Audit(_)
            | Self::Retry(_)
            | Self::Pause(_)
            | Self::Resume => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print again and again, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// Why, for whoever looks at the status
    #[arg(long, value_name = "TEXT")]
    pub(crate) because: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RebaseArgs {
    /// Compare, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Withdraw the org's records that neither ledger nor app knows
    #[arg(long)]
    pub(crate) withdraw_unknown: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RetryArgs {
    /// Ids of ads, as the app knows them
    #[arg(value_name = "AD")]
    pub(crate) ads: Vec<String>,
    /// All ads that Salesforce has rejected
    #[arg(long)]
    pub(crate) rejected: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Id of an ad, as the app knows it
    #[arg(value_name = "AD", required_unless_present = "contract", conflicts_with_all = ["contract", "at"])]
    pub(crate) ad: Option<String>,
    /// Id or number of a contract
    #[arg(long, value_name = "ID")]
    pub(crate) contract: Option<String>,
    /// When, as 2026-11-22T12:00:00Z; now if not given
    #[arg(long, value_name = "TIME", requires = "contract", value_parser = moment)]
    pub(crate) at: Option<OffsetDateTime>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RejectedArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ContractArgs {
    /// Id or number of a contract
    #[arg(
        value_name = "ID | NUMBER",
        required_unless_present = "account",
        conflicts_with = "account"
    )]
    pub(crate) contract: Option<String>,
    /// All contracts of the account with this id
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackfillArgs {
    /// Only ads changed on this day (UTC) or later, as 2026-11-22
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) since: Option<Date>,
    /// Only ads whose id comes after this one
    #[arg(long, value_name = "AD")]
    pub(crate) after: Option<String>,
    /// Count the ads and enqueue none
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Have what differs reported anew, or withdrawn
    #[arg(long)]
    pub(crate) repair: bool,
    /// Only the records of this contract, as the view names it
    #[arg(long, value_name = "ID")]
    pub(crate) contract: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the servers running afterwards, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
}

#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,
    /// Also write the line of JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

fn date(text: &str) -> Result<Date, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map_err(|error| format!("{error}; give a date as 2026-11-22"))
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("{error}; give a time as 2026-11-22T12:00:00Z"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases = [
            ("", ErrorKind::MissingSubcommand),
            ("walk", ErrorKind::InvalidSubcommand),
            ("run --fast", ErrorKind::UnknownArgument),
            ("retry", ErrorKind::MissingRequiredArgument),
            ("retry 42 --rejected", ErrorKind::ArgumentConflict),
            ("backfill --since yesterday", ErrorKind::ValueValidation),
            ("backfill --since 2026-02-30", ErrorKind::ValueValidation),
            ("history", ErrorKind::MissingRequiredArgument),
            ("history 42 --contract 7", ErrorKind::ArgumentConflict),
            (
                "history 42 --at 2026-11-22T12:00:00Z",
                ErrorKind::ArgumentConflict,
            ),
            ("history 42 --csv --json", ErrorKind::ArgumentConflict),
            ("contract", ErrorKind::MissingRequiredArgument),
            ("contract 7 --account 1", ErrorKind::ArgumentConflict),
            (
                "history --contract 7 --at 2026-11-22",
                ErrorKind::ValueValidation,
            ),
            ("--help", ErrorKind::DisplayHelp),
            ("backfill --help", ErrorKind::DisplayHelp),
            ("--version", ErrorKind::DisplayVersion),
        ];
        for (line, expected) in cases {
            let words = line.split_whitespace();

            let error = Cli::try_parse_from(["usage-sync"].into_iter().chain(words)).unwrap_err();

            assert_eq!(error.kind(), expected, "{line}");
        }
    }

    #[test]
    fn arguments_arrive_as_they_were_meant() {
        let parse = |line: &str| Cli::parse_from(line.split_whitespace()).command;

        let Command::Retry(retry) = parse("usage-sync retry 42 a:b") else {
            panic!()
        };
        assert_eq!(retry.ads, ["42", "a:b"]);
        let Command::Backfill(backfill) =
            parse("usage-sync backfill --since 2026-11-01 --after 7 --dry-run")
        else {
            panic!()
        };
        assert_eq!(backfill.since, Some(time::macros::date!(2026 - 11 - 01)));
        assert_eq!(backfill.after.as_deref(), Some("7"));
        assert!(backfill.dry_run);
    }

    #[test]
    fn every_command_has_examples_and_the_main_help_has_the_exit_codes() {
        // The command `help` is clap's own.
        let mut cli = Cli::command().disable_help_subcommand(true);
        cli.build();
        let help = cli.render_long_help().to_string();
        for code in ["0 ", "1 ", "64", "69", "70", "78"] {
            assert!(help.contains(&format!("\n  {code}")), "{code} is missing");
        }
        for command in cli.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(
                help.contains("Examples:\n  usage-sync "),
                "{}",
                command.get_name()
            );
        }
    }
}
