//! From a row of Salesforce's answer to a contract.

use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::{Amount, Contract, Product};
use crate::{
    ledger::Pending,
    salesforce::{Fields, id::to_18},
    settings,
};

/// The value of a field, whose name Salesforce answers in its own spelling;
/// `None` where there is none, or one of another kind.
fn value<T: DeserializeOwned>(row: &Fields, name: &str) -> Option<T> {
    let (_, value) = row.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    serde_json::from_str(value.get()).ok()
}

/// A contract without its products; `None` for a row without an id.
pub(super) fn contract(
    row: &Fields,
    names: &settings::Contract,
    as_of: OffsetDateTime,
) -> Option<Contract> {
    let account: Option<Fields> = value(row, &names.account_relationship);
    let of_account = |name| account.as_ref().and_then(|row| value::<String>(row, name));
    let status: String = value(row, &names.status_field).unwrap_or_default();
    Some(Contract {
        id: id(row)?,
        number: value(row, &names.number_field).unwrap_or_default(),
        account: of_account("Name"),
        account_id: of_account("Id").and_then(|id| to_18(&id)),
        locked: status.eq_ignore_ascii_case(&names.locked_status),
        status,
        as_of,
        products: Vec::new(),
    })
}

/// A product; `None` for a row without an id.
pub(super) fn product(
    row: &Fields,
    names: &settings::Contract,
    pending: &Pending,
) -> Option<Product> {
    let amount = |name: &str| {
        let mut fields = row.iter();
        let (_, value) = fields.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Amount::of(value)
    };
    let external_id = names.product_external_id_field.as_deref();
    let external_id: Option<String> = external_id.and_then(|name| value(row, name));
    let id = id(row)?;
    let units = pending.of(&id, external_id.as_deref());
    Some(Product {
        code: value(row, &names.product_code_field),
        name: value(row, &names.product_name_field).unwrap_or_default(),
        units: amount(&names.units_field),
        price: amount(&names.price_field),
        consumed: amount(&names.consumed_field),
        available: amount(&names.available_field),
        pending: units.coming.into(),
        pending_return: units.going.into(),
        id,
    })
}

fn id(row: &Fields) -> Option<String> {
    to_18(&value::<String>(row, "Id")?)
}
