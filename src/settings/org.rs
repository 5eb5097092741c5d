//! The settings of the Salesforce org: how it is reached, and what its
//! objects and fields are called.

use super::reader::Reader;
use super::{Contract, Salesforce, login};

/// From here on the upsert of collections exists, and an upsert answers with
/// a body (REST API Developer Guide, "Upsert Multiple Records").
const OLDEST_API: u32 = 46;

pub(super) fn salesforce(reader: &mut Reader<'_>) -> Option<Salesforce> {
    let login_url = login::url(reader);
    let client_id = reader.required(
        "salesforce.client_id",
        "give the consumer key of the external client app",
    );
    let login = login::flow(reader, login_url.as_ref());
    let api_version = api_version(reader);
    let object = reader.name("salesforce.object");
    let external_id_field = reader.name("salesforce.external_id_field");
    let external_id_prefix = reader
        .optional("salesforce.external_id_prefix")
        .unwrap_or_default();
    reader.is_token("salesforce.external_id_prefix", &external_id_prefix);
    let revision_field = reader.optional_name("salesforce.revision_field");
    let timeout = reader.duration("salesforce.timeout");
    let connect_timeout = reader.duration("salesforce.connect_timeout");
    let read_timeout = reader.duration("salesforce.read_timeout");
    let max_concurrency = reader.number("salesforce.max_concurrency", 1..=100);
    let landing_window = reader.duration("salesforce.landing_window");
    let api_budget = reader.share("salesforce.api_budget");
    reader.in_order(
        ("salesforce.connect_timeout", connect_timeout),
        ("salesforce.timeout", timeout),
    );
    Some(Salesforce {
        login_url: login_url?,
        client_id: client_id?,
        login: login?,
        api_version: api_version?,
        object: object?,
        external_id_field: external_id_field?,
        external_id_prefix,
        revision_field,
        timeout: timeout?,
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        max_concurrency: max_concurrency?,
        landing_window: landing_window?,
        api_budget: api_budget?,
    })
}

/// `67.0` from `67.0`, `67` or `v67.0`: a file may give it as a number.
fn api_version(reader: &mut Reader<'_>) -> Option<String> {
    const KEY: &str = "salesforce.api_version";
    let remedy = format!("give a version as 67.0, {OLDEST_API}.0 or newer");
    let text = reader.required(KEY, &remedy)?;
    let major = text.strip_prefix('v').unwrap_or(&text);
    let major = major.strip_suffix(".0").unwrap_or(major);
    match major.parse::<u32>() {
        Ok(major) if (OLDEST_API..1000).contains(&major) => Some(format!("{major}.0")),
        Ok(_) => {
            reader.fault(KEY, "is out of range", remedy);
            None
        }
        Err(_quotes_nothing) => {
            reader.fault(KEY, "is not an API version", remedy);
            None
        }
    }
}

pub(super) fn contract(reader: &mut Reader<'_>) -> Option<Contract> {
    let mut name = |key: &str| reader.name(&format!("contract.{key}"));
    let object = name("object");
    let number_field = name("number_field");
    let account_relationship = name("account_relationship");
    let status_field = name("status_field");
    let products_relationship = name("products_relationship");
    let product_object = name("product_object");
    let product_code_field = name("product_code_field");
    let product_name_field = name("product_name_field");
    let units_field = name("units_field");
    let price_field = name("price_field");
    let consumed_field = name("consumed_field");
    let available_field = name("available_field");
    let usage_product_field = name("usage_product_field");
    let usage_quantity_field = name("usage_quantity_field");
    let product_external_id_field = reader.optional_name("contract.product_external_id_field");
    let locked_status = reader.required(
        "contract.locked_status",
        "give the status that locks usage records",
    );
    Some(Contract {
        object: object?,
        number_field: number_field?,
        account_relationship: account_relationship?,
        status_field: status_field?,
        locked_status: locked_status?,
        products_relationship: products_relationship?,
        product_object: product_object?,
        product_code_field: product_code_field?,
        product_name_field: product_name_field?,
        product_external_id_field,
        units_field: units_field?,
        price_field: price_field?,
        consumed_field: consumed_field?,
        available_field: available_field?,
        usage_product_field: usage_product_field?,
        usage_quantity_field: usage_quantity_field?,
    })
}
