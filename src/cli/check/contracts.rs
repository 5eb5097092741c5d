//! Contracts: whether what the `CONTRACT_` settings name can be read, by describe.
//!
//! A warning at most: reports go out without any of it.

use usage_sync::{
    salesforce::{Client, Describe, Error, Field},
    settings::{self, Settings},
    telemetry::Chain,
};

use super::Item;

const NAME: &str = "contracts";

const REMEDY: &str = "deploy salesforce/ and give the integration user its permission set, or set these variables to the org's own names";

/// What was found wrong, each with the variable that names it.
#[derive(Default)]
struct Missing(Vec<String>);

pub(super) async fn check(client: &Client, settings: &Settings, usage: &Describe) -> Item {
    let names = &settings.contract;
    let (contract, product) = tokio::join!(
        client.describe(&names.object),
        client.describe(&names.product_object)
    );
    let mut missing = Missing::default();
    match &contract {
        Ok(describe) => {
            missing.in_contract(describe, names);
            missing.account(client, describe, names).await;
        }
        Err(error) => missing.object("CONTRACT_OBJECT", &names.object, error),
    }
    match &product {
        Ok(describe) => missing.in_product(describe, names),
        Err(error) => missing.object("CONTRACT_PRODUCT_OBJECT", &names.product_object, error),
    }
    missing.in_usage(usage, names);
    if !missing.0.is_empty() {
        return Item::warning(
            NAME,
            format!("cannot be read: {}", missing.0.join("; ")),
            REMEDY,
        );
    }
    match contract.map(|describe| offers(&describe, names)) {
        Ok(false) => Item::warning(
            NAME,
            format!(
                "CONTRACT_LOCKED_STATUS: {} offers no status {:?}, so no contract shows as locked",
                names.object, names.locked_status
            ),
            "add the status to the org, or name the one that locks usage records",
        ),
        _ => Item::ok(
            NAME,
            format!("{} with {}", names.object, names.products_relationship),
        ),
    }
}

/// Whether a contract can have the status that locks, as far as the org tells.
fn offers(describe: &Describe, names: &settings::Contract) -> bool {
    let field = describe.field(&names.status_field);
    let choices = field.map_or(&[][..], |field| &field.picklist_values);
    let locked = &names.locked_status;
    choices.is_empty()
        || choices
            .iter()
            .any(|choice| choice.value.eq_ignore_ascii_case(locked))
}

impl Missing {
    fn object(&mut self, variable: &str, object: &str, error: &Error) {
        self.0
            .push(format!("{variable}: {object}: {}", Chain(error)));
    }

    fn in_contract(&mut self, describe: &Describe, names: &settings::Contract) {
        self.field(describe, "CONTRACT_NUMBER_FIELD", &names.number_field);
        self.field(describe, "CONTRACT_STATUS_FIELD", &names.status_field);
        let products = &names.products_relationship;
        match describe.children(products) {
            Some(object) if object.eq_ignore_ascii_case(&names.product_object) => {}
            Some(object) => self.0.push(format!(
                "CONTRACT_PRODUCT_OBJECT: the children {products} of {} are {object}, and not {}",
                describe.name, names.product_object
            )),
            None => self.0.push(format!(
                "CONTRACT_PRODUCTS_RELATIONSHIP: {} has no children {products}",
                describe.name
            )),
        }
    }

    /// The account has a name, and it may be read.
    async fn account(&mut self, client: &Client, contract: &Describe, names: &settings::Contract) {
        const VARIABLE: &str = "CONTRACT_ACCOUNT_RELATIONSHIP";
        let account = &names.account_relationship;
        let follows = |field: &&Field| {
            let name = field.relationship_name.as_deref();
            name.is_some_and(|name| name.eq_ignore_ascii_case(account))
        };
        let reference = contract.fields.iter().find(follows);
        let Some(object) = reference.and_then(|field| field.reference_to.first()) else {
            self.0.push(format!(
                "{VARIABLE}: {} has no reference that is followed as {account}",
                contract.name
            ));
            return;
        };
        match client.describe(object).await {
            Ok(describe) => {
                self.field(&describe, VARIABLE, "Name");
            }
            Err(error) => self.object(VARIABLE, object, &error),
        }
    }

    fn in_product(&mut self, describe: &Describe, names: &settings::Contract) {
        for (variable, name) in [
            (
                "CONTRACT_PRODUCT_CODE_FIELD",
                Some(&names.product_code_field),
            ),
            (
                "CONTRACT_PRODUCT_NAME_FIELD",
                Some(&names.product_name_field),
            ),
            (
                "CONTRACT_PRODUCT_EXTERNAL_ID_FIELD",
                names.product_external_id_field.as_ref(),
            ),
        ] {
            if let Some(name) = name {
                self.field(describe, variable, name);
            }
        }
        for (variable, name) in [
            ("CONTRACT_UNITS_FIELD", &names.units_field),
            ("CONTRACT_PRICE_FIELD", &names.price_field),
            ("CONTRACT_CONSUMED_FIELD", &names.consumed_field),
            ("CONTRACT_AVAILABLE_FIELD", &names.available_field),
        ] {
            self.number(describe, variable, name);
        }
    }

    fn in_usage(&mut self, describe: &Describe, names: &settings::Contract) {
        const VARIABLE: &str = "CONTRACT_USAGE_PRODUCT_FIELD";
        let name = &names.usage_product_field;
        if let Some(field) = self.field(describe, VARIABLE, name) {
            let product = &names.product_object;
            let leads = |to: &String| to.eq_ignore_ascii_case(product);
            if !field.reference_to.iter().any(leads) {
                self.0.push(format!(
                    "{VARIABLE}: {}.{name} is no reference to {product}",
                    describe.name
                ));
            }
        }
        self.number(
            describe,
            "CONTRACT_USAGE_QUANTITY_FIELD",
            &names.usage_quantity_field,
        );
    }

    fn field<'d>(
        &mut self,
        describe: &'d Describe,
        variable: &str,
        name: &str,
    ) -> Option<&'d Field> {
        let field = describe.field(name);
        if field.is_none() {
            self.0.push(format!(
                "{variable}: {} has no field {name}, or it is hidden from the integration user",
                describe.name
            ));
        }
        field
    }

    fn number(&mut self, describe: &Describe, variable: &str, name: &str) {
        const NUMBERS: [&str; 4] = ["double", "currency", "int", "percent"];
        if let Some(field) = self.field(describe, variable, name)
            && !NUMBERS.contains(&field.kind.as_str())
        {
            self.0.push(format!(
                "{variable}: {}.{name} is of type {}, which is no number",
                describe.name, field.kind
            ));
        }
    }
}
