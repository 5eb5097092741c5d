//! `usage-sync contract`: a contract with its products, as Salesforce has it now,
//! and what is still to be told to it.

mod bar;

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;
use usage_sync::{
    contracts::{Amount, Contract, Contracts, Error, Product},
    salesforce::Client,
    settings::Settings,
};

use super::{Exit, Failure, args::ContractArgs, connect, history::json, table::Table};
use bar::Bar;

const COLUMNS: &[&str] = &[
    "code",
    "name",
    "units",
    "price",
    "consumed",
    "pending",
    "available",
    "id",
];

#[derive(Serialize)]
struct OfAccount<'a> {
    contracts: &'a [Contract],
}

/// Prints one contract, or those of an account.
pub(super) async fn run(settings: &Settings, args: &ContractArgs) -> Result<Exit, Failure> {
    let pool = connect::postgres(settings).await?;
    let contracts = Client::new(&settings.salesforce)
        .map_err(|error| refused(&Error::Refused(error.into())))
        .and_then(|client| {
            let timeout = settings.salesforce.read_timeout;
            Contracts::new(client, pool, &settings.contract, timeout).map_err(|e| refused(&e))
        })?;
    match (&args.contract, &args.account) {
        (Some(key), _) => {
            let found = contracts.one(key).await.map_err(|error| refused(&error))?;
            let Some(contract) = found else {
                return Err(unknown(format!("no such contract: {key}")));
            };
            if args.json {
                return json(&contract);
            }
            print(&contract, settings.log.color)?;
        }
        (None, Some(account)) => {
            let found = contracts.of_account(account).await;
            let found = found.map_err(|error| refused(&error))?;
            if found.is_empty() {
                return Err(unknown(format!("account {account} has no contract")));
            }
            if args.json {
                return json(&OfAccount { contracts: &found });
            }
            for (place, contract) in found.iter().enumerate() {
                if place > 0 {
                    writeln!(std::io::stdout())?;
                }
                print(contract, settings.log.color)?;
            }
        }
        // The parser asks for one of the two.
        (None, None) => return Err(Failure::new(Exit::Usage, "name a contract or an account")),
    }
    Ok(Exit::Done)
}

fn unknown(what: String) -> Failure {
    Failure::new(Exit::Found, what).remedy(
        "compare it with Salesforce; the integration user sees what is shared with it alone",
    )
}

fn refused(error: &Error) -> Failure {
    let failure = match error {
        Error::Ledger(error) => return connect::failure_of(error),
        Error::Invalid { .. } => Failure::new(Exit::Usage, error.to_string()),
        // Since when is for who has asked before.
        Error::Unavailable { source, .. } => {
            Failure::new(Exit::Unavailable, "salesforce is not available").because(source)
        }
        Error::Refused(source) => {
            let what = "salesforce does not let contracts be read";
            Failure::new(Exit::Configuration, what).because(source)
        }
    };
    match error.remedy() {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

fn print(contract: &Contract, color: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let lock = if contract.locked { ", locked" } else { "" };
    let account = contract.account.as_deref().unwrap_or("no account");
    let title = format!(
        "{} ({}{lock}) of {account}, {}",
        contract.number, contract.status, contract.id
    );
    writeln!(out, "{}", title.replace(char::is_control, " "))?;
    if contract.products.is_empty() {
        writeln!(out, "no products")?;
        return Ok(());
    }
    let table = Table {
        columns: COLUMNS,
        rows: contract.products.iter().map(row).collect(),
    };
    if !out.is_terminal() {
        table.print()?;
        return Ok(());
    }
    let bars = contract
        .products
        .iter()
        .map(|product| Bar::of(product).shown(color));
    let ends: Vec<String> = std::iter::once(String::new()).chain(bars).collect();
    table.print_before(&ends)?;
    let returned = |product: &Product| product.pending_return.approximate() > 0.0;
    if contract.products.iter().any(returned) {
        writeln!(out, "some units come back once Salesforce has been told")?;
    }
    Ok(())
}

fn row(product: &Product) -> Vec<String> {
    let shown = |amount: &Option<Amount>| {
        let text = amount.as_ref().map(ToString::to_string);
        text.unwrap_or_default()
    };
    vec![
        product.code.clone().unwrap_or_default(),
        product.name.clone(),
        shown(&product.units),
        shown(&product.price),
        shown(&product.consumed),
        product.pending.to_string(),
        shown(&product.available),
        product.id.clone(),
    ]
}
