//! Who may do what: a box may ask, and never decide for others.

use sent_contract::fleet::Claim;
use sent_protocol::{Checkpoint, path};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Customer, TestBox, World};

fn role(id: u128, name: &str) -> Value {
    json!({ "t": "roles", "o": "i", "k": { "id": Uuid::from_u128(id) }, "v": 0,
        "n": { "id": Uuid::from_u128(id), "name": name, "rights": "[\"*\"]" } })
}

fn user(id: u128, email: &str) -> Value {
    json!({ "t": "users", "o": "i", "k": { "id": Uuid::from_u128(id) }, "v": 0, "n": {
        "id": Uuid::from_u128(id), "email": email, "name": "Mallory", "password_hash": "$argon2id$x",
        "role_id": Uuid::from_u128(1), "branch_id": null, "disabled": 0, "locale": "en" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_makes_no_owner_of_all_branches() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    made.write("user.create", &json!([role(1, "root"), user(2, "mallory@example.org")])).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM users WHERE email LIKE 'mallory%'").await, 0);
    let open: Value = world.page.get("/api/fleet/proposals?state=open").await;
    let items = open["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let asked = "SELECT count(*) FROM proposals WHERE cause = 'changes who may do what'";
    assert_eq!(world.postgres.count(asked).await, 2);
    // Somebody decides, and then it counts.
    for proposal in items.iter().rev() {
        world.page.post::<Value>(&format!("/api/fleet/proposals/{}/accept", proposal["id"]), &json!({})).await;
    }
    assert_eq!(world.postgres.count("SELECT count(*) FROM users WHERE email LIKE 'mallory%'").await, 1);
    // How a user is called is nobody's right.
    let version = world.postgres.count("SELECT version FROM users WHERE email LIKE 'mallory%'").await;
    let edit = |new: Value| json!([{ "t": "users", "o": "u", "k": { "id": Uuid::from_u128(2) }, "v": version, "n": new, "p": {} }]);
    made.write("user.change", &edit(json!({ "name": "Mallory M", "locale": "de" }))).await;
    made.write("user.change", &edit(json!({ "password_hash": "$argon2id$y" }))).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM users WHERE name = 'Mallory M' AND locale = 'de'").await, 1);
    assert_eq!(world.postgres.count("SELECT count(*) FROM users WHERE password_hash LIKE '%y'").await, 0);
    assert_eq!(world.postgres.count("SELECT count(*) FROM proposals WHERE state = 'open'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_in_the_msps_own_organisation_makes_nobody() {
    let world = World::new(false).await;
    let mut owner = world.postgres.owner().await;
    let branch: Uuid = sqlx::query_scalar("SELECT id FROM branches WHERE organization_id = $1")
        .bind(world.msp)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let mut made = world.enrolled(&Customer { id: world.msp, branch }, "office").await;
    made.write("user.create", &json!([user(2, "mallory@example.org")])).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM users WHERE email LIKE 'mallory%'").await, 0);
    assert_eq!(world.postgres.count("SELECT count(*) FROM proposals WHERE state = 'open'").await, 0);
    assert_eq!(world.postgres.count("SELECT count(*) FROM proposals WHERE state = 'refused'").await, 1);
}

fn organization(organization: Uuid, version: i64, name: &str) -> Value {
    json!([{ "t": "organizations", "o": "u", "k": { "organization_id": organization }, "v": version,
        "n": { "name": name }, "p": {} }])
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_new_password_needs_nobody_and_a_stolen_box_proves_nothing() {
    use sent_core::identity::{hash_password, prove_password, succeed_password, verify_password};
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let organization = format!("/api/fleet/organizations/{}", customer.id);
    let roles: Value = world.page.get(&format!("{organization}/roles")).await;
    let new = json!({ "email": "ann@north.example", "name": "Ann", "password": "the first password", "role": roles[0]["id"] });
    let ann: Value = world.page.post(&format!("{organization}/users"), &new).await;
    let id: Uuid = ann["id"].as_str().unwrap().parse().unwrap();
    let mut owner = world.postgres.owner().await;
    let mut kept = async || -> String {
        let query = sqlx::query_scalar("SELECT password_hash FROM users WHERE id = $1").bind(id);
        query.fetch_one(&mut owner).await.unwrap()
    };
    let edit = |n: Value| json!([{ "t": "users", "o": "u", "k": { "id": id }, "v": 1, "n": n, "p": {} }]);
    let first = kept().await;
    // What a stolen box can say: a new verifier with no proof, with the verifier itself for one, with an old one's key, with
    // the right key for more than the password, and with parameters that would burn the cloud's memory.
    let forged = hash_password("what the thief wants").unwrap();
    let proof = prove_password("the first password", &first).unwrap();
    let stale = prove_password("another", &hash_password("another").unwrap()).unwrap();
    let digest = first.rsplit('$').next().unwrap();
    let dear = format!("{forged}${proof}").replace("m=19456", "m=4194304");
    for password in
        [forged.clone(), format!("{forged}${digest}"), format!("{forged}${stale}"), format!("{forged}$"), dear]
    {
        made.write("user.password", &edit(json!({ "password_hash": password }))).await;
    }
    let more = json!({ "password_hash": format!("{forged}${proof}"), "role_id": roles[1]["id"] });
    made.write("user.password", &edit(more)).await;
    world.replica.project().await;
    assert_eq!(kept().await, first);
    assert_eq!(world.postgres.count("SELECT count(*) FROM proposals WHERE state = 'open'").await, 6);
    let shown: Value = world.page.get("/api/fleet/proposals?state=open").await;
    assert!(!shown.to_string().contains(&proof) && !shown.to_string().contains("argon2id"));
    // What its user can: two changes while the cloud was out of reach, of a version long gone.
    let second = succeed_password("the second password", &proof).unwrap();
    let third = prove_password("the second password", &second).unwrap();
    let third = succeed_password("the third password", &third).unwrap();
    made.write("user.password", &edit(json!({ "password_hash": second }))).await;
    made.write("user.password", &edit(json!({ "password_hash": third }))).await;
    world.replica.project().await;
    let now = kept().await;
    assert!(verify_password("the third password", &now));
    assert!(third.starts_with(&now) && third.len() > now.len(), "the proof is left off");
    assert_eq!(world.postgres.count("SELECT count(*) FROM proposals WHERE state = 'open'").await, 6);
    // The same proof a second time fits nothing.
    made.write("user.password", &edit(json!({ "password_hash": second }))).await;
    world.replica.project().await;
    assert_eq!(kept().await, now);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_branch_does_not_rename_the_organisation() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let version = world.postgres.count("SELECT version FROM organizations WHERE name = 'Northwind'").await;
    made.write("organization.change", &organization(customer.id, version, "Mine now")).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM organizations WHERE name = 'Mine now'").await, 0);
    let open: Value = world.page.get("/api/fleet/proposals?state=open").await;
    assert_eq!(open["items"][0]["cause"], "changes the organisation itself");
    world.page.post::<Value>(&format!("/api/fleet/proposals/{}/accept", open["items"][0]["id"]), &json!({})).await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM organizations WHERE name = 'Mine now'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_branch_decides_nothing_for_the_others() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let elsewhere = Uuid::from_u128(7);
    let mut owner = world.postgres.owner().await;
    sqlx::query("INSERT INTO branches (organization_id, id, name) VALUES ($1, $2, 'Harbour')")
        .bind(customer.id)
        .bind(elsewhere)
        .execute(&mut owner)
        .await
        .unwrap();
    let rename = |id: Uuid, version: i64| json!({ "t": "branches", "o": "u", "k": { "id": id }, "v": version, "n": { "name": "Mine" }, "p": {} });
    let mine = world.postgres.count("SELECT version FROM branches WHERE name <> 'Harbour'").await;
    let theirs = world.postgres.count("SELECT version FROM branches WHERE name = 'Harbour'").await;
    let opened = Uuid::from_u128(8);
    made.write("branch.change", &json!([
        rename(elsewhere, theirs),
        { "t": "branches", "o": "i", "k": { "id": opened }, "v": 0, "n": { "id": opened, "name": "Mine too", "timezone": "UTC" } },
        { "t": "branches", "o": "d", "k": { "id": elsewhere }, "v": theirs, "p": {} },
        { "t": "organization_settings", "o": "i", "k": { "key": "entry.description.required" }, "v": 0,
          "n": { "key": "entry.description.required", "value": "true" } },
        rename(customer.branch, mine),
    ])).await;
    world.replica.project().await;
    let named = world.postgres.count("SELECT count(*) FROM branches WHERE name LIKE 'Mine%'").await;
    assert_eq!(named, 1, "a branch says how it is called itself");
    let asked = "SELECT count(*) FROM proposals WHERE state = 'open' AND cause = 'changes another branch'";
    assert_eq!(world.postgres.count(asked).await, 3);
    let asked = "SELECT count(*) FROM proposals WHERE state = 'open' AND cause = 'changes what holds for all branches'";
    assert_eq!(world.postgres.count(asked).await, 1);
    assert_eq!(world.postgres.count("SELECT count(*) FROM organization_settings").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_the_cloud_never_gave_is_refused_and_the_box_is_told_why() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let branch = |version: i64, name: &str| json!([{ "t": "branches", "o": "u", "k": { "id": customer.branch }, "v": version, "n": { "name": name }, "p": {} }]);
    let before: Checkpoint = made.get(path::REFERENCE).await.json();
    let head = i64::try_from(before.to).unwrap();
    for beyond in [head + 1, 99, i64::MAX] {
        made.write("branch.change", &branch(beyond, "Mine now")).await;
    }
    // A row that the cloud does not know has no version but 0.
    made.write(
        "account.create",
        &json!([{ "t": "accounts", "o": "i", "k": { "id": Uuid::from_u128(9) }, "v": 3,
        "n": { "id": Uuid::from_u128(9), "name": "Assets:Mine", "kind": "asset" } }]),
    )
    .await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM branches WHERE name = 'Mine now'").await, 0);
    assert_eq!(world.postgres.count("SELECT count(*) FROM accounts WHERE name = 'Assets:Mine'").await, 0);
    assert_eq!(world.postgres.count("SELECT count(*) FROM proposals WHERE state = 'refused'").await, 4);
    let after: Checkpoint = made.get(&format!("{}?after={head}", path::REFERENCE)).await.json();
    assert_eq!(after.refused.len(), 4);
    for refused in &after.refused {
        assert!(refused.cause.ends_with("which this cloud never gave the row"), "{}", refused.cause);
        assert_eq!((refused.by.as_str(), refused.organization_id), ("cloud", customer.id));
        // The row as it is here comes down beside it.
        assert!(after.rows.iter().any(|r| r.table == refused.table && r.key == refused.key), "{refused:?}");
    }
    let again: Checkpoint = made.get(&format!("{}?after={}", path::REFERENCE, after.to)).await.json();
    assert!(again.refused.is_empty(), "told once");
    // The row's own version counts as ever.
    let version = after.rows.iter().find(|r| r.table == "branches").unwrap().version;
    made.write("branch.change", &branch(version, "Sea street")).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM branches WHERE name = 'Sea street'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_brings_its_own_people_until_it_is_one_of_several() {
    let world = World::new(false).await;
    let placeholder = world.customer("Placeholder").await;
    let claim = |customer: Uuid, branch: Uuid| {
        let page = &world.page;
        async move {
            let new = json!({ "organization": customer, "branch": branch, "name": "till" });
            page.post::<Claim>("/api/fleet/claims", &new).await
        }
    };
    let (own, branch) = (Uuid::from_u128(4_711), Uuid::from_u128(4_712));
    let brings = json!({ "organization": { "id": own, "name": "Kiosk", "currency": "CHF" },
        "branch": { "id": branch, "name": "Lake", "timezone": "Europe/Zurich" } });
    let code = claim(placeholder.id, placeholder.branch).await.code;
    let mut made = TestBox::enrol_with(&world.replica, &code, brings).await.map_err(|a| a.code()).unwrap();
    made.begin_epoch(1).await;
    made.write("sent.init", &json!([role(1, "owner"), user(2, "carla@kiosk.example")])).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM users WHERE email LIKE 'carla%'").await, 1);
    claim(own, branch).await;
    made.write("user.create", &json!([user(3, "mallory@example.org")])).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM users WHERE email LIKE 'mallory%'").await, 0);
}
