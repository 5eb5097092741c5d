//! What people do to usage records in Salesforce: the next change of the ad
//! makes them right, and nothing goes round in circles.

use serde_json::json;

use super::complaints;
use crate::support::World;

impl World {
    /// Salesforce's id of a record.
    fn record(&self, external_id: &str) -> String {
        let rows = self.sandbox.records("Usage__c").expect("records");
        let row = rows
            .into_iter()
            .find(|row| row["External_Id__c"] == external_id);
        let row = row.expect("it stands there");
        row["Id"].as_str().expect("an id").to_owned()
    }

    pub(super) async fn delete_by_hand(&self, external_id: &str) {
        let id = self.record(external_id);
        let url = format!("{}/records/Usage__c/{id}", self.sandbox.control_url());
        let deleted = reqwest::Client::new().delete(url).send().await;
        let deleted = deleted.expect("the sandbox answers");
        assert!(deleted.status().is_success(), "{deleted:?}");
    }

    pub(super) fn change_by_hand(&self, external_id: &str) {
        let id = self.record(external_id);
        self.sandbox
            .change("Usage__c", &id, &json!({"Quantity__c": 77}))
            .expect("it changes");
    }
}

#[tokio::test]
async fn f44_a_record_that_was_deleted_or_changed_by_hand_is_set_right_by_the_next_change() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product select n, line, 0, 1 from generate_series(1, 4) n, unnest(array['small', 'large']) line")
        .await;
    world.in_step().await;

    // An update, a correction of several kinds, a removal, and one changed.
    for ad in 1..=3 {
        world.delete_by_hand(&format!("{ad}:small")).await;
    }
    world.change_by_hand("4:small");
    assert_eq!(world.held().await.len(), 5);
    let before = world.sandbox.stats().api_calls;
    world
        .app(
            "begin; update ad_product set quantity = 2 where ad_id in (1, 4); \
             update ad_product set quantity = 2 where ad_id = 2 and product = 'small'; \
             update ad_product set product = 'huge' where ad_id = 2 and product = 'large'; \
             delete from ad_product where ad_id = 3; commit",
        )
        .await;
    world.in_step().await;

    // A call for each kind, and at most as many again for what was gone.
    let calls = world.sandbox.stats().api_calls - before;
    assert!(calls <= 12, "{calls} calls");
    for ad in ["1", "2", "4"] {
        assert_eq!(world.status(ad).await.0, "reported");
    }
    assert_eq!(world.consumed(0), Some(2.0 * 4.0 + 2.0 + 1.0));
    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}

#[tokio::test]
async fn f44_the_removal_of_what_is_gone_already_beside_a_correction_is_done() {
    let world = World::new(1).await;
    let daemon = world.daemon();
    world
        .app("insert into ad_product values (1, 'small', 0, 1), (1, 'large', 0, 1)")
        .await;
    world.in_step().await;

    world.delete_by_hand("1:large").await;
    world
        .app(
            "begin; delete from ad_product where product = 'large'; \
              update ad_product set quantity = 5; \
              insert into ad_product values (1, 'huge', 0, 1); commit",
        )
        .await;
    world.in_step().await;

    assert_eq!(world.status("1").await.0, "reported");
    assert_eq!(complaints(&daemon.log()), 0, "{}", daemon.log());
}
