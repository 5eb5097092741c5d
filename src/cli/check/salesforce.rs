//! Salesforce: login, object, fields and rights by describe.

use usage_sync::{
    salesforce::{Client, Describe, Error},
    settings::{self, Settings},
    telemetry::Chain,
};

use super::{Item, contracts};

pub(super) async fn check(settings: &Settings) -> Vec<Item> {
    let client = match Client::new(&settings.salesforce) {
        Ok(client) => client,
        Err(error) => return vec![failed("salesforce login", &error)],
    };
    let mut items = Vec::new();
    match client.login().await {
        Ok(identity) => items.push(Item::ok(
            "salesforce login",
            format!("org {} at {}", identity.org_id, identity.instance_url),
        )),
        Err(error) => {
            items.push(failed("salesforce login", &error));
            return items;
        }
    }
    match client.describe(&settings.salesforce.object).await {
        Ok(describe) => {
            items.extend(object(&describe, &settings.salesforce));
            items.push(contracts::check(&client, settings, &describe).await);
        }
        Err(error) => items.push(failed("salesforce object", &error)),
    }
    if let Some(usage) = client.api_usage() {
        let text = format!(
            "{} of {} calls of the last 24 hours used",
            usage.used, usage.allowed
        );
        items.push(if usage.used >= usage.allowed {
            let remedy =
                "reports wait until the window of 24 hours frees calls; ask Salesforce for more";
            Item::warning("salesforce calls", text, remedy)
        } else {
            Item::ok("salesforce calls", text)
        });
    }
    items
}

fn failed(name: &'static str, error: &Error) -> Item {
    let remedy = error
        .remedy()
        .unwrap_or("compare the SALESFORCE_ variables with the org; if they are right, look at trust.salesforce.com");
    Item::failed(name, Chain(error).to_string(), remedy)
}

const PERMISSIONS: &str = "give the integration user the right to create, read, edit and delete usage records, and edit access to their fields";

fn object(describe: &Describe, names: &settings::Salesforce) -> Vec<Item> {
    let mut missing = Vec::new();
    for (right, given) in [
        ("create", describe.createable),
        ("edit", describe.updateable),
        ("delete", describe.deletable),
        ("read", describe.queryable),
    ] {
        if !given {
            missing.push(right);
        }
    }
    let mut items = vec![if missing.is_empty() {
        Item::ok(
            "salesforce object",
            format!("{} may be written", describe.name),
        )
    } else {
        let message = format!("{}: no right to {}", describe.name, missing.join(", "));
        Item::failed("salesforce object", message, PERMISSIONS)
    }];
    items.push(external_id(describe, &names.external_id_field));
    if let Some(field) = &names.revision_field {
        items.push(revision(describe, field));
    } else {
        items.push(Item::warning(
            "salesforce revision",
            "SALESFORCE_REVISION_FIELD is empty: nothing in the org keeps a late request from overwriting a newer one",
            "add the field and the validation rule that README.md names",
        ));
    }
    items
}

fn external_id(describe: &Describe, name: &str) -> Item {
    const NAME: &str = "salesforce external id";
    let Some(field) = describe.field(name) else {
        let message = format!(
            "{} has no field {name}, or it is hidden from the integration user",
            describe.name
        );
        return Item::failed(NAME, message, PERMISSIONS);
    };
    if !field.external_id || !field.unique {
        let message = format!("{name} is not a unique external id: records could be doubled");
        return Item::failed(NAME, message, "mark the field as External ID and as Unique");
    }
    if !field.createable {
        return Item::failed(NAME, format!("{name} may not be set"), PERMISSIONS);
    }
    if !field.case_sensitive {
        return Item::warning(
            NAME,
            format!(
                "{name} is unique without regard to case: two lines that differ by case only would be one record"
            ),
            "mark the field as case-sensitive",
        );
    }
    if field.length < 255 {
        let message = format!(
            "{name} takes {} characters; longer ids are refused one by one",
            field.length
        );
        return Item::warning(NAME, message, "make the field 255 characters long");
    }
    Item::ok(NAME, format!("{name}, unique"))
}

fn revision(describe: &Describe, name: &str) -> Item {
    const NAME: &str = "salesforce revision";
    match describe.field(name) {
        Some(field) if field.createable && field.updateable => Item::ok(NAME, name),
        Some(_) => Item::failed(NAME, format!("{name} may not be set"), PERMISSIONS),
        None => Item::failed(
            NAME,
            format!(
                "{} has no field {name}, or it is hidden from the integration user",
                describe.name
            ),
            "add the field that README.md names and give the integration user access to it, or set \
             SALESFORCE_REVISION_FIELD to nothing if the org has no such field",
        ),
    }
}
