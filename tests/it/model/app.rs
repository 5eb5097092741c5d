//! What the app and the people at its screens do: single statements, statements
//! of many rows, transactions that are taken back.

use std::fmt;

use fastrand::Rng;

/// Ads that a history knows. Few, so that one meets the same ad again soon.
pub(super) const ADS: u32 = 24;
/// Ads that only a transaction writes that stays open for a while: nobody
/// waits for its row locks.
const SLOW_ADS: std::ops::Range<u32> = 1000..1004;
/// The products, whose names are the lines.
const PRODUCTS: [&str; 3] = ["gigantic", "large", "small"];
/// Contracts of one product each.
pub(super) const CONTRACTS: usize = 5;

/// One thing that the app does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// Its statements: each one commits by itself, unless one says otherwise.
    pub(super) sql: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "app: {}", self.sql.join("; "))
    }
}

impl Change {
    /// Something that apps do.
    pub(super) fn random(dice: &mut Rng) -> Self {
        let ad = dice.u32(1..=ADS);
        let sql = match dice.u32(0..100) {
            0..24 => vec![save(dice, ad)],
            24..40 => vec![edit(dice, ad)],
            40..48 => vec![relocate(dice, ad)],
            48..52 => vec![swap(dice, ad)],
            52..62 => vec![remove(ad)],
            62..70 => recreate(dice, ad),
            70..82 => vec![many(dice)],
            82..97 => vec![transaction(dice)],
            97..99 => vec![String::from(
                "update ad_product set quantity = quantity where ad_id < 1000",
            )],
            _ => vec![String::from("truncate ad_product")],
        };
        Self { sql }
    }

    /// What a transaction does that stays open for a while.
    pub(super) fn slow(dice: &mut Rng) -> Self {
        let ad = dice.u32(SLOW_ADS);
        let sql = if dice.bool() {
            save(dice, ad)
        } else {
            edit(dice, ad)
        };
        Self { sql: vec![sql] }
    }

    /// Whether it needs tables to itself.
    pub(super) fn is_exclusive(&self) -> bool {
        self.sql.iter().any(|sql| sql.contains("truncate"))
    }
}

fn contract(dice: &mut Rng) -> usize {
    dice.usize(..CONTRACTS)
}

/// Whole units, and halves that print in two ways.
fn quantity(dice: &mut Rng) -> String {
    match dice.u32(0..4) {
        0 => format!("{}.5", dice.u32(1..50)),
        1 => format!("{}.50", dice.u32(1..50)),
        _ => dice.u32(1..100).to_string(),
    }
}

fn save(dice: &mut Rng, ad: u32) -> String {
    let count = dice.usize(1..=PRODUCTS.len());
    let mut products = PRODUCTS;
    dice.shuffle(&mut products);
    let rows: Vec<String> = products[..count]
        .iter()
        .map(|product| {
            let (contract, quantity) = (contract(dice), quantity(dice));
            format!("({ad}, '{product}', {contract}, {quantity})")
        })
        .collect();
    format!(
        "insert into ad_product values {} on conflict (ad_id, product) do update \
         set contract_product = excluded.contract_product, quantity = excluded.quantity",
        rows.join(", ")
    )
}

fn edit(dice: &mut Rng, ad: u32) -> String {
    let quantity = quantity(dice);
    if dice.bool() {
        let product = PRODUCTS[dice.usize(..PRODUCTS.len())];
        return format!(
            "update ad_product set quantity = {quantity} where ad_id = {ad} and product = '{product}'"
        );
    }
    format!("update ad_product set quantity = quantity + {quantity} where ad_id = {ad}")
}

fn relocate(dice: &mut Rng, ad: u32) -> String {
    let contract = contract(dice);
    format!("update ad_product set contract_product = {contract} where ad_id = {ad}")
}

/// One product for another, and what is left elsewhere.
fn swap(dice: &mut Rng, ad: u32) -> String {
    let mut products = PRODUCTS;
    dice.shuffle(&mut products);
    let [gone, come, _] = products;
    let (first, second, quantity) = (contract(dice), contract(dice), quantity(dice));
    format!(
        "begin; delete from ad_product where ad_id = {ad} and product = '{gone}'; \
         update ad_product set contract_product = {first} where ad_id = {ad}; \
         insert into ad_product values ({ad}, '{come}', {second}, {quantity}) on conflict do nothing; commit"
    )
}

fn remove(ad: u32) -> String {
    format!("delete from ad_product where ad_id = {ad}")
}

/// Gone and back with the same id, each in a transaction of its own.
fn recreate(dice: &mut Rng, ad: u32) -> Vec<String> {
    let mut sql = vec![remove(ad), save(dice, ad)];
    if dice.bool() {
        sql.extend([remove(ad), save(dice, ad)]);
    }
    sql
}

fn many(dice: &mut Rng) -> String {
    let (parts, part) = (dice.u32(2..6), dice.u32(0..2));
    let some = format!("ad_id < 1000 and ad_id % {parts} = {part}");
    let product = PRODUCTS[dice.usize(..PRODUCTS.len())];
    match dice.u32(0..5) {
        0 => {
            let quantity = quantity(dice);
            format!(
                "insert into ad_product select n, '{product}', n % {CONTRACTS}, {quantity} \
                 from generate_series(1, {ADS}) n where n % {parts} = {part} on conflict do nothing"
            )
        }
        1 => format!("update ad_product set quantity = quantity + 1 where {some}"),
        2 => format!(
            "update ad_product set contract_product = (contract_product + 1) % {CONTRACTS} \
             where {some} and product = '{product}'"
        ),
        3 => format!("delete from ad_product where {some} and product = '{product}'"),
        _ => format!("delete from ad_product where {some}"),
    }
}

/// Several changes at once, kept or taken back.
fn transaction(dice: &mut Rng) -> String {
    let mut parts = vec![String::from("begin")];
    for _ in 0..dice.usize(2..5) {
        let ad = dice.u32(1..=ADS);
        parts.push(match dice.u32(0..4) {
            0 => save(dice, ad),
            1 => relocate(dice, ad),
            2 => remove(ad),
            _ => edit(dice, ad),
        });
    }
    let end = if dice.u32(0..3) == 0 {
        "rollback"
    } else {
        "commit"
    };
    parts.push(end.to_owned());
    parts.join("; ")
}
