//! The one query: contracts with their products, by whatever they were asked for.
//!
//! Names come from the settings and are checked; what was asked for is quoted.

use crate::{
    salesforce::{LIST_LIMIT, soql},
    settings,
};

use super::key::Question;

/// What the query asks for, put together once.
#[derive(Debug)]
pub(super) struct Template {
    /// Up to the conditions.
    head: String,
    number: String,
    account: String,
}

impl Template {
    /// The setting that is no name, if there is one.
    pub(super) fn new(names: &settings::Contract) -> Result<Self, &'static str> {
        check(names)?;
        let account = &names.account_relationship;
        let products = columns(&[
            "Id",
            &names.product_code_field,
            &names.product_name_field,
            &names.units_field,
            &names.price_field,
            &names.consumed_field,
            &names.available_field,
            names.product_external_id_field.as_deref().unwrap_or("Id"),
        ]);
        let contract = columns(&["Id", &names.number_field, &names.status_field]);
        let (relationship, name) = (&names.products_relationship, &names.product_name_field);
        let object = &names.object;
        Ok(Self {
            head: format!(
                "SELECT {contract}, {account}.Id, {account}.Name, \
                 (SELECT {products} FROM {relationship} ORDER BY {name}, Id) FROM {object} WHERE "
            ),
            number: names.number_field.clone(),
            account: format!("{account}.Id"),
        })
    }

    /// How many of these questions, from the first on, one address has room for;
    /// at least one.
    pub(super) fn room(&self, questions: &[Question]) -> usize {
        let mut left = LIST_LIMIT.saturating_sub(soql::length(&self.query(&[])));
        let fits = |question: &&Question| {
            let cost = values(question).map(|value| soql::length(&format!("{value},")));
            let cost: usize = cost.sum();
            let fits = cost <= left;
            left = left.saturating_sub(cost);
            fits
        };
        questions.iter().take_while(fits).count().max(1)
    }

    /// The query for all of these.
    pub(super) fn query(&self, questions: &[Question]) -> String {
        let by_id = |question: &Question| match question {
            Question::Contract { id, .. } => id.clone(),
            Question::Account(_) => None,
        };
        let by_number = |question: &Question| match question {
            Question::Contract { number, .. } => number.clone(),
            Question::Account(_) => None,
        };
        let by_account = |question: &Question| match question {
            Question::Contract { .. } => None,
            Question::Account(id) => Some(id.clone()),
        };
        let conditions: Vec<String> = [
            condition("Id", questions.iter().filter_map(by_id)),
            condition(&self.number, questions.iter().filter_map(by_number)),
            condition(&self.account, questions.iter().filter_map(by_account)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let conditions = conditions.join(" OR ");
        format!("{}{conditions} ORDER BY {}, Id", self.head, self.number)
    }
}

/// The texts of a question, quoted.
fn values(question: &Question) -> impl Iterator<Item = String> {
    let texts = match question {
        Question::Contract { id, number } => [id.as_ref(), number.as_ref()],
        Question::Account(id) => [Some(id), None],
    };
    texts.into_iter().flatten().map(|text| soql::literal(text))
}

fn condition(column: &str, values: impl Iterator<Item = String>) -> Option<String> {
    let values: Vec<String> = values.map(|value| soql::literal(&value)).collect();
    (!values.is_empty()).then(|| format!("{column} IN ({})", values.join(",")))
}

/// Columns once each: Salesforce refuses a query that names one twice.
fn columns(names: &[&str]) -> String {
    let mut columns: Vec<&str> = Vec::with_capacity(names.len());
    for name in names {
        if !columns.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            columns.push(name);
        }
    }
    columns.join(", ")
}

fn check(names: &settings::Contract) -> Result<(), &'static str> {
    let external_id = names.product_external_id_field.as_deref().unwrap_or("Id");
    for (variable, name) in [
        ("CONTRACT_OBJECT", names.object.as_str()),
        ("CONTRACT_NUMBER_FIELD", &names.number_field),
        ("CONTRACT_ACCOUNT_RELATIONSHIP", &names.account_relationship),
        ("CONTRACT_STATUS_FIELD", &names.status_field),
        (
            "CONTRACT_PRODUCTS_RELATIONSHIP",
            &names.products_relationship,
        ),
        ("CONTRACT_PRODUCT_CODE_FIELD", &names.product_code_field),
        ("CONTRACT_PRODUCT_NAME_FIELD", &names.product_name_field),
        ("CONTRACT_PRODUCT_EXTERNAL_ID_FIELD", external_id),
        ("CONTRACT_UNITS_FIELD", &names.units_field),
        ("CONTRACT_PRICE_FIELD", &names.price_field),
        ("CONTRACT_CONSUMED_FIELD", &names.consumed_field),
        ("CONTRACT_AVAILABLE_FIELD", &names.available_field),
    ] {
        if !soql::is_name(name) || name.contains('.') {
            return Err(variable);
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        sandbox::soql::{Condition, Item, Literal, parse},
        settings::Source,
    };

    fn template() -> Template {
        let source = Source::read([
            ("DATABASE_URL", "postgres://u:p@h/d"),
            ("REDIS_URL", "redis://h"),
            ("SALESFORCE_LOGIN_URL", "http://127.0.0.1:1"),
            ("SALESFORCE_CLIENT_ID", "id"),
            ("SALESFORCE_CLIENT_SECRET", "secret"),
        ]);
        Template::new(&source.settings().unwrap().contract).unwrap()
    }

    /// Column and texts of each condition, as the sandbox understands the query.
    fn understood(query: &str) -> Vec<(String, Vec<String>)> {
        let query = parse(query).unwrap();
        assert_eq!(query.from.parts, ["Contract"]);
        assert!(matches!(query.items.last(), Some(Item::Children(_))));
        let conditions = match query.filter {
            Some(Condition::Or(conditions)) => conditions,
            condition => condition.into_iter().collect(),
        };
        let texts = |condition| match condition {
            Condition::In {
                field,
                negated: false,
                values,
            } => {
                let texts = values.into_iter().map(|value| match value {
                    Literal::Text(text) => text,
                    other => panic!("{other:?}"),
                });
                (field.parts.join("."), texts.collect())
            }
            other => panic!("{other:?}"),
        };
        conditions.into_iter().map(texts).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_stays_a_text(keys in prop::collection::vec(any::<String>(), 1..5)) {
            let questions: Vec<Question> =
                keys.iter().filter_map(|key| Question::contract(key).ok()).collect();
            let expected = |which: fn(&Question) -> Option<String>| -> Vec<String> {
                questions.iter().filter_map(which).collect()
            };
            let ids = expected(|question| match question {
                Question::Contract { id, .. } => id.clone(),
                Question::Account(_) => None,
            });
            let numbers = expected(|question| match question {
                Question::Contract { number, .. } => number.clone(),
                Question::Account(_) => None,
            });
            let expected: Vec<(String, Vec<String>)> = [("Id", ids), ("ContractNumber", numbers)]
                .into_iter()
                .filter(|(_, texts)| !texts.is_empty())
                .map(|(column, texts)| (column.to_owned(), texts))
                .collect();
            prop_assume!(!questions.is_empty());

            prop_assert_eq!(understood(&template().query(&questions)), expected);
        }
    }

    #[test]
    fn attempts_to_ask_for_more_are_numbers_of_contracts_that_there_are_not() {
        for key in [
            "' OR Id != '",
            "') OR (Id != '",
            r"\' OR Id != \'",
            r"\\",
            "x' LIMIT 1 --",
            "x'/*",
            "\u{2019} OR Id != \u{2019}",
            r"\u0027 OR Id != \u0027",
        ] {
            let query = template().query(&[Question::contract(key).unwrap()]);

            let expected = vec![("ContractNumber".to_owned(), vec![key.to_owned()])];
            assert_eq!(understood(&query), expected, "{query}");
        }
    }

    #[test]
    fn a_query_names_as_many_as_an_address_has_room_for() {
        let template = template();
        let long = |n: usize| format!("{n:03}{}", "\u{1f600}".repeat(240));
        let questions: Vec<Question> = (0..10)
            .map(|n| Question::contract(&long(n)).unwrap())
            .collect();

        let room = template.room(&questions);

        assert!((1..10).contains(&room), "{room}");
        let length = soql::length(&template.query(&questions[..room]));
        assert!(length <= LIST_LIMIT, "{length}");
        let account = Question::account("001D000000Kv3g5IAB").unwrap();
        assert_eq!(template.room(&vec![account; 100]), 100);
    }
}
