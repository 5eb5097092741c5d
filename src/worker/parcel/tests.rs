//! Packing and lanes, whatever the ads.

use proptest::{collection::vec, prelude::*, sample::select, sample::subsequence};

use super::*;

fn operation(action: Action, contract: Option<&str>, moved_from: Option<&str>) -> Operation {
    Operation {
        action,
        external_id: String::new(),
        line: String::new(),
        contract: contract.map(String::from),
        moved_from: moved_from.map(String::from),
        fields: String::new(),
        held: None,
        body: String::new(),
        salesforce_id: None,
    }
}

fn planned(number: usize, operations: Vec<Operation>) -> PlannedAd {
    PlannedAd {
        ad_id: number.to_string(),
        version: 1,
        token: 1,
        attempts: 0,
        suspicions: 0,
        alone: false,
        operations,
    }
}

fn ads() -> impl Strategy<Value = Vec<PlannedAd>> {
    let contract = || select(vec![None, Some("C"), Some("D"), Some("E")]);
    let operation = (select(KINDS.to_vec()), contract(), contract())
        .prop_map(|(action, contract, from)| operation(action, contract, from));
    vec(vec(operation, 1..6), 0..40).prop_map(|ads| {
        ads.into_iter()
            .enumerate()
            .map(|(number, operations)| PlannedAd {
                alone: number.is_multiple_of(7),
                ..planned(number, operations)
            })
            .collect()
    })
}

fn ad_ids<'a>(ads: impl Iterator<Item = &'a PlannedAd>) -> Vec<&'a str> {
    let mut ids: Vec<&str> = ads.map(|ad| ad.ad_id.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<&'static str>),
    Start,
    Finish(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let contracts = subsequence(vec!["C", "D", "E", "F"], 0..=3);
    vec(
        prop_oneof![
            contracts.prop_map(Step::Push),
            Just(Step::Start),
            any::<prop::sample::Index>().prop_map(Step::Finish),
        ],
        0..80,
    )
}

proptest! {
    #[test]
    fn packing_loses_no_ad_divides_none_and_keeps_to_the_size(ads in ads(), size in 1usize..8) {
        let parcels = pack(ads.clone(), size);

        prop_assert_eq!(ad_ids(parcels.iter().flatten()), ad_ids(ads.iter()));
        for parcel in &parcels {
            prop_assert!(!parcel.is_empty());
            prop_assert!(parcel.iter().all(|ad| ad.kinds() == parcel[0].kinds()), "kinds are mixed");
            prop_assert!(parcel.iter().all(|ad| !ad.alone) || parcel.len() == 1, "a suspect has company");
            for kind in KINDS {
                let records: usize = parcel.iter().map(|ad| ad.count(kind)).sum();
                prop_assert!(records <= size || parcel.len() == 1, "{} records of {:?}", records, kind);
            }
        }
    }

    #[test]
    fn packing_wastes_no_call(contracts in vec(select(vec!["C", "D", "E"]), 1..60), size in 1usize..8) {
        let ads: Vec<PlannedAd> = contracts
            .iter()
            .enumerate()
            .map(|(number, contract)| planned(number, vec![operation(Action::Create, Some(contract), None)]))
            .collect();

        let parcels = pack(ads, size);

        prop_assert_eq!(parcels.len(), contracts.len().div_ceil(size));
        let order: Vec<&str> = parcels.iter().flatten().filter_map(PlannedAd::contract).collect();
        prop_assert!(order.is_sorted(), "ads of one contract go together");
    }

    #[test]
    fn no_two_parcels_in_flight_share_a_contract_and_none_waits_for_nothing(steps in steps()) {
        let mut lanes: Lanes<usize> = Lanes::default();
        let mut waiting: Vec<(usize, HashSet<String>)> = Vec::new();
        let mut flying: Vec<HashSet<String>> = Vec::new();

        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(contracts) => {
                    let contracts: HashSet<String> = contracts.into_iter().map(String::from).collect();
                    waiting.push((number, contracts.clone()));
                    lanes.push(contracts, number);
                }
                Step::Start => if let Some((contracts, parcel)) = lanes.start() {
                    prop_assert!(flying.iter().all(|other| other.is_disjoint(&contracts)));
                    let place = waiting.iter().position(|(number, _)| *number == parcel).unwrap();
                    let earlier = &waiting[..place];
                    prop_assert!(earlier.iter().all(|(_, other)| other.is_disjoint(&contracts)), "overtaken");
                    prop_assert_eq!(&waiting.remove(place).1, &contracts);
                    flying.push(contracts);
                } else {
                    let first = waiting.first();
                    prop_assert!(first.is_none_or(|(_, first)| flying.iter().any(|other| !other.is_disjoint(first))));
                },
                Step::Finish(index) if !flying.is_empty() => {
                    let landed = flying.swap_remove(index.index(flying.len()));
                    lanes.finish(&landed);
                }
                Step::Finish(_) => {}
            }
            prop_assert_eq!(lanes.waiting(), waiting.len());
        }
    }
}

#[test]
fn an_ad_touches_the_contract_that_it_leaves_too() {
    let ads = [planned(
        1,
        vec![operation(Action::Update, Some("new"), Some("old"))],
    )];

    let mut touched: Vec<String> = contracts(&ads).into_iter().collect();
    touched.sort();

    assert_eq!(touched, ["new", "old"]);
}

#[test]
fn clearing_the_lanes_hands_out_what_waits_and_leaves_what_flies() {
    let contract = || HashSet::from([String::from("C")]);
    let mut lanes: Lanes<u8> = Lanes::default();
    for parcel in 1..=3 {
        lanes.push(contract(), parcel);
    }
    let flying = lanes.start().unwrap();
    assert_eq!(flying.1, 1);

    assert_eq!(lanes.clear(), [2, 3]);

    lanes.push(contract(), 4);
    assert!(lanes.start().is_none(), "the contract is still in flight");
    lanes.finish(&flying.0);
    assert_eq!(lanes.start().unwrap().1, 4);
}
