//! Who gets in with a claim, and where to.

use reqwest::StatusCode;
use sent_contract::fleet::Claim;
use sent_protocol::{Cursor, path};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Customer, Page, TestBox, World, customer, make_msp};

async fn claim(page: &Page, customer: &Customer) -> Claim {
    let new = json!({ "organization": customer.id, "branch": customer.branch, "name": "till" });
    page.post("/api/fleet/claims", &new).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_counts_once_and_ends() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let claim = claim(&world.page, &customer).await;
    TestBox::enrol_with(&world.replica, &claim.code, json!({})).await.map_err(|a| a.code()).unwrap();
    let again = TestBox::enrol_with(&world.replica, &claim.code, json!({})).await.err().unwrap();
    assert_eq!((again.status, again.code().as_str()), (StatusCode::FORBIDDEN, "claim_invalid"));
    let old = self::claim(&world.page, &customer).await;
    let mut owner = world.postgres.owner().await;
    sqlx::query("UPDATE claims SET expires_at = 1 WHERE used_at IS NULL").execute(&mut owner).await.unwrap();
    let ended = TestBox::enrol_with(&world.replica, &old.code, json!({})).await.err().unwrap();
    assert_eq!(ended.code(), "claim_invalid");
    let unknown = format!("AAAA-BBBB-CCCC-DDDD.{}", world.replica.cloud.authority.fingerprint());
    let unknown = TestBox::enrol_with(&world.replica, &unknown, json!({})).await.err().unwrap();
    assert_eq!(unknown.code(), "claim_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_worked_alone_brings_its_organisation() {
    let world = World::new(false).await;
    let customer = world.customer("Placeholder").await;
    let claim = claim(&world.page, &customer).await;
    let (own, branch) = (Uuid::from_u128(4_711), Uuid::from_u128(4_712));
    let brings = json!({
        "organization": { "id": own, "name": "Kiosk", "currency": "CHF" },
        "branch": { "id": branch, "name": "Lake", "timezone": "Europe/Zurich" }
    });
    let mut made =
        TestBox::enrol_with(&world.replica, &claim.code, brings.clone()).await.map_err(|a| a.code()).unwrap();
    assert_eq!((made.enrolled.organization.id, made.enrolled.branch.id), (own, branch));
    made.begin_epoch(1).await;
    // Its own organisation row, which it made before there was a cloud, continues the adopted one.
    made.write("sent.init", &json!([{ "t": "organizations", "o": "i", "k": { "organization_id": own },
        "n": { "organization_id": own, "name": "Kiosk am See", "currency": "CHF", "parent_id": null, "version": 0 }, "v": 0 }]))
    .await;
    world.replica.project().await;
    let list: Vec<sent_contract::fleet::Organization> = world.page.get("/api/fleet/organizations").await;
    let adopted = list.iter().find(|o| o.id == own).unwrap();
    assert_eq!((adopted.name.as_str(), adopted.boxes.total), ("Kiosk am See", 1));
    assert_eq!(world.postgres.count("SELECT count(*) FROM proposals").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_opens_the_organisation_it_was_made_for_and_no_other() {
    let world = World::new(false).await;
    let own = world.customer("Northwind").await;
    let sibling = world.customer("Southwind").await;
    make_msp(&world.replica, "South MSP", "owner@south.example").await;
    let stranger = customer(&Page::login(&world.replica, "owner@south.example").await, "Eastwind").await;
    let code = claim(&world.page, &own).await.code;
    for victim in [sibling.id, stranger.id, world.msp] {
        let brings = json!({ "organization": { "id": victim, "name": "x", "currency": "EUR" } });
        let refused = TestBox::enrol_with(&world.replica, &code, brings).await.err().unwrap();
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "claim_invalid"));
    }
    // Nor another branch of its own organisation.
    let new = json!({ "name": "Second street", "timezone": "UTC" });
    let second: Value = world.page.post(&format!("/api/fleet/organizations/{}/branches", own.id), &new).await;
    let organization = json!({ "id": own.id, "name": "Northwind", "currency": "EUR" });
    let brings = json!({ "organization": organization, "branch": { "id": second["id"], "name": "", "timezone": "" } });
    let refused = TestBox::enrol_with(&world.replica, &code, brings).await.err().unwrap();
    assert_eq!(refused.code(), "claim_invalid");
    assert_eq!(world.postgres.count("SELECT count(*) FROM boxes WHERE enrolled_at IS NOT NULL").await, 0);
    // The refusals left the claim as it was: a box of that organisation gets in with it.
    let brings = json!({ "organization": organization, "branch": { "id": own.branch, "name": "", "timezone": "" } });
    let made = TestBox::enrol_with(&world.replica, &code, brings).await.map_err(|a| a.code()).unwrap();
    assert_eq!(made.organization, own.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again_to_the_same_key() {
    let world = World::new(false).await;
    let placeholder = world.customer("Placeholder").await;
    let own = json!({ "organization": { "id": Uuid::from_u128(4_711), "name": "Kiosk", "currency": "CHF" },
        "branch": { "id": Uuid::from_u128(4_712), "name": "Lake", "timezone": "Europe/Zurich" } });
    for brings in [json!({}), own] {
        let claim = claim(&world.page, &placeholder).await;
        let key = rcgen::KeyPair::generate().unwrap();
        let first = TestBox::enrol_key(&world.replica, &claim.code, &key, brings.clone()).await.map_err(|a| a.code());
        let again = TestBox::enrol_key(&world.replica, &claim.code, &key, brings.clone()).await.map_err(|a| a.code());
        let (first, again) = (first.unwrap().enrolled, again.unwrap());
        assert_eq!(again.enrolled.box_id, first.box_id);
        assert_eq!(again.enrolled.organization, first.organization);
        assert_eq!(again.enrolled.branch, first.branch);
        assert_eq!(again.enrolled.data_key, first.data_key);
        assert_eq!(again.get(path::CURSOR).await.json::<Cursor>().epoch, 0, "the second certificate is as good");
        // Another key gets nothing, nor does the same one as a box of somebody else.
        assert!(TestBox::enrol_with(&world.replica, &claim.code, brings.clone()).await.is_err());
        let elsewhere = json!({ "organization": { "id": world.msp, "name": "x", "currency": "EUR" } });
        assert!(TestBox::enrol_key(&world.replica, &claim.code, &key, elsewhere).await.is_err());
        // A box that was revoked does not get back in with the claim it came with.
        world.page.post::<Value>(&format!("/api/fleet/boxes/{}/revoke", first.box_id), &json!({})).await;
        assert!(TestBox::enrol_key(&world.replica, &claim.code, &key, brings).await.is_err());
    }
}
