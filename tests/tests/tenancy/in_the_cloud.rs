//! The walk over the cloud's routes.

use std::collections::BTreeMap;

use reqwest::Method;
use sent_contract::{
    Page, Uuid,
    capital::Account,
    fleet::{Claim, Proposal, Quarantined},
    identity::{CreatedToken, NewToken, Role, TotpSetup, User},
    reference::{Item, TaxRate},
    security::{BranchSecurity, SecurityCounts},
};
use sent_core::route::Listed;
use sent_protocol::{Batch, Head, path};
use sent_tests::{Cluster, Face, Result, cluster, ensure, logs, until, wire::Stranger};
use serde_json::{Value, json};

use super::{Call, MARK, PACK, RULE, changes, code, listed, poor, refusals, rule, sessions, stranger};
use crate::new_id;

pub(super) async fn walk(cluster: &Cluster, office: &cluster::Office) -> Result<()> {
    let owner = &cluster.fleet;
    let routes = listed(owner).await?;
    let cloud = cluster.postgres.owner().await?;
    let made = owner
        .post::<sent_contract::fleet::Organization>(
            "/api/fleet/organizations",
            &json!({ "name": MARK, "currency": "EUR", "branches": [MARK] }),
        )
        .await?;
    let customer = cluster::Office {
        organization: made.id,
        branch: made.branches[0].id,
        owner: office.owner.clone(),
        viewer: office.viewer.clone(),
    };
    let at = format!("/api/fleet/organizations/{}", made.id);
    let account: Account = owner.post(&format!("{at}/accounts"), &json!({ "name": format!("Assets:{MARK}") })).await?;
    let roles: Vec<Role> = owner.get(&format!("{at}/roles")).await?;
    let user = |role: Uuid, n: u32| json!({ "email": format!("{MARK}{n}@msp.example"), "name": MARK, "password": "a long password", "role": role, "branch": null });
    let own_roles: Vec<Role> = owner.get("/api/roles").await?;
    let (role, own_role) = (roles[0].id, own_roles[0].id);
    let user_row: User = owner.post("/api/users", &user(own_role, 1)).await?;
    let new_role = json!({ "name": MARK, "rights": ["home.read"] });
    let own_spare: Role = owner.post("/api/roles", &new_role).await?;
    let spare: Role = owner.post(&format!("{at}/roles"), &new_role).await?;
    let tax = |rate: &str, from: &str| json!({ "code": "VAT", "name": MARK, "rate": rate, "valid_from": from });
    let tax_row: TaxRate = owner.post(&format!("{at}/taxes"), &tax("19", "2021-01-01")).await?;
    let item = |sku: &str| json!({ "sku": sku, "name": MARK, "unit": "piece", "price": "1.50", "currency": "EUR" });
    let item_row: Item = owner.post(&format!("{at}/items"), &item("A-1")).await?;
    let rate = |rate: &str| json!({ "currency": "USD", "date": "2026-01-01", "rate": rate });
    let setting = |value: &str| json!({ "key": "invoice.footer", "value": value });
    owner.change(Method::PUT, &format!("{at}/rates"), &rate("0.9")).await?;
    owner.change(Method::PUT, &format!("{at}/settings"), &setting(MARK)).await?;
    let token = NewToken { name: MARK.to_owned(), rights: vec!["audit.read".to_owned()], days: None };
    let token_row: CreatedToken = owner.post("/api/tokens", &token).await?;
    let (quarantined, proposals, box_id) = troubles(cluster, &customer, &account, &cloud).await?;
    found_there(&cloud, made.id, box_id).await?;
    let about = format!("licence={MARK}&attribution={MARK}");
    for version in ["1", "2"] {
        let archive = logs::pack(&[("rule.yml", &rule(&format!("{RULE}-{version}")))])?;
        let path = format!("/api/fleet/packs/{PACK}?version={version}&{about}");
        let answer = owner.send(Method::PUT, &path, Some(("application/x-tar", archive))).await?;
        ensure!(answer.status.is_success(), "{}", answer.text());
    }
    let pin = json!({ "boxes": [box_id], "version": "1" });
    let ids: BTreeMap<&str, String> = [
        ("/api/tokens", token_row.token.id.to_string()),
        ("/api/users", user_row.id.to_string()),
        ("/api/fleet/boxes", box_id.to_string()),
        ("/api/fleet/organizations", made.id.to_string()),
        ("/api/roles", own_spare.id.to_string()),
        ("/api/fleet/organizations/{id}/roles", spare.id.to_string()),
        ("/api/fleet/organizations/{id}/accounts", account.id.to_string()),
        ("/api/fleet/organizations/{id}/rates", "USD".to_owned()),
        ("/api/fleet/organizations/{id}/rates/{currency}", "2026-01-01".to_owned()),
        ("/api/fleet/organizations/{id}/taxes", tax_row.id.to_string()),
        ("/api/fleet/organizations/{id}/items", item_row.id.to_string()),
        ("/api/fleet/organizations/{id}/settings", "invoice.footer".to_owned()),
        ("/api/fleet/packs", PACK.to_owned()),
        ("/api/fleet/packs/{name}", "2".to_owned()),
        ("/api/fleet/quarantine", quarantined[0].to_string()),
        ("/api/fleet/proposals", proposals[0].to_string()),
    ]
    .into();
    refusals(owner, &poor(owner, ["audit.read", "user.read"]).await?, &routes, &ids).await?;
    seen_from_above(owner).await?;

    cluster.replicas[0].bootstrap_another("Elsewhere MSP", "eve@elsewhere.example", cluster::PASSWORD)?;
    let eve = Face::login(owner.base(), "eve@elsewhere.example", cluster::PASSWORD).await?;
    let claim = json!({ "organization": made.id, "branch": made.branches[0].id, "name": "mine now" });
    let bodies: BTreeMap<String, Value> = [
        ("PUT /api/fleet/boxes/{id}/desired", json!({ "log": "debug" })),
        ("POST /api/fleet/boxes/{id}/commands", json!({ "kind": "restart", "arguments": {} })),
        ("POST /api/fleet/boxes/{id}/revoke", json!({ "reason": "mine now" })),
        ("POST /api/fleet/actions", json!({ "boxes": [box_id], "action": "revoke", "arguments": { "reason": "x" } })),
        ("POST /api/fleet/claims", claim.clone()),
        ("POST /api/fleet/organizations/{id}/branches", json!({ "name": "mine now", "timezone": "UTC" })),
        ("POST /api/fleet/organizations/{id}/users", user(role, 7)),
        ("POST /api/fleet/organizations/{id}/accounts", json!({ "name": "Assets:Mine now" })),
        ("PUT /api/fleet/organizations/{id}/accounts/{account}", json!({ "name": "Assets:Mine now" })),
        ("POST /api/fleet/organizations/{id}/accounts/{account}/close", json!({ "on": "2026-12-31" })),
        ("PUT /api/fleet/organizations/{id}/rates", rate("7")),
        ("POST /api/fleet/organizations/{id}/taxes", tax("7", "2026-01-01")),
        ("PUT /api/fleet/organizations/{id}/taxes/{tax}", tax("7", "2021-01-01")),
        ("POST /api/fleet/organizations/{id}/taxes/{tax}/close", json!({ "on": "2026-12-31" })),
        ("POST /api/fleet/organizations/{id}/items", item("A-7")),
        ("PUT /api/fleet/organizations/{id}/items/{item}", item("A-7")),
        ("POST /api/fleet/organizations/{id}/items/{item}/close", json!({ "on": "2026-12-31" })),
        ("PUT /api/fleet/organizations/{id}/settings", setting("mine now")),
        ("POST /api/fleet/organizations/{id}/roles", json!({ "name": "mine now", "rights": ["*"] })),
        ("PUT /api/fleet/organizations/{id}/roles/{role}", json!({ "name": "mine now", "rights": ["*"] })),
        ("PUT /api/roles/{id}", json!({ "name": "mine now", "rights": ["*"] })),
        ("POST /api/fleet/packs/{name}/apply", pin.clone()),
        ("POST /api/fleet/quarantine/{id}/skip", json!({ "reason": "mine now" })),
        ("PATCH /api/users/{id}", json!({ "name": "mine now", "disabled": true })),
    ]
    .map(|(name, body)| (name.to_owned(), body))
    .into();
    let before = fingerprint(&cloud, made.id).await?;
    // A bulk action names boxes the stranger does not have: it may answer that it did nothing.
    let apart: Vec<Listed> = routes.iter().filter(|r| r.path != "/api/fleet/actions").cloned().collect();
    stranger(&eve, &apart, &ids, &bodies).await?;
    let answer =
        eve.send_json(Method::POST, "/api/fleet/actions?dry_run=false", &bodies["POST /api/fleet/actions"]).await?;
    ensure!(!answer.text().contains(MARK) && !answer.status.is_server_error(), "{}", answer.text());
    ensure!(fingerprint(&cloud, made.id).await? == before, "a stranger changed a row of another MSP's customer");

    let setup: TotpSetup = owner.post("/api/me/totp", &json!({})).await?;
    let box_at = |rest: &str| format!("/api/fleet/boxes/{box_id}/{rest}");
    let calls = vec![
        Call("POST /api/me/totp/confirm", "/api/me/totp/confirm".into(), json!({ "code": code(&setup)? })),
        Call(
            "DELETE /api/me/totp",
            "/api/me/totp".into(),
            json!({ "current": cluster::MSP.1, "password": cluster::MSP.1 }),
        ),
        Call("POST /api/me/totp", "/api/me/totp".into(), json!({})),
        Call("POST /api/tokens", "/api/tokens".into(), json!(token)),
        Call("DELETE /api/tokens/{id}", format!("/api/tokens/{}", token_row.token.id), json!({})),
        Call("POST /api/users", "/api/users".into(), user(own_role, 2)),
        Call("PATCH /api/users/{id}", format!("/api/users/{}", user_row.id), json!({ "name": "Zoe" })),
        Call("PUT /api/fleet/boxes/{id}/desired", box_at("desired"), json!({ "log": "debug" })),
        Call("POST /api/fleet/boxes/{id}/commands", box_at("commands"), json!({ "kind": "identify", "arguments": {} })),
        Call(
            "POST /api/fleet/actions",
            "/api/fleet/actions?dry_run=false".into(),
            json!({ "boxes": [box_id], "action": "tag:add", "arguments": { "tag": "walked" } }),
        ),
        Call("PUT /api/fleet/packs/{name}", format!("/api/fleet/packs/{PACK}?version=3&{about}"), json!({})),
        Call("POST /api/fleet/packs/{name}/apply", format!("/api/fleet/packs/{PACK}/apply?dry_run=false"), pin),
        Call("DELETE /api/fleet/packs/{name}/{version}", format!("/api/fleet/packs/{PACK}/2"), json!({})),
        Call("POST /api/fleet/claims", "/api/fleet/claims".into(), claim),
        Call(
            "POST /api/fleet/organizations",
            "/api/fleet/organizations".into(),
            json!({ "name": "Third", "currency": "EUR", "branches": ["One"] }),
        ),
        Call(
            "POST /api/fleet/organizations/{id}/branches",
            format!("{at}/branches"),
            json!({ "name": "Two", "timezone": "UTC" }),
        ),
        Call("POST /api/fleet/organizations/{id}/users", format!("{at}/users"), user(role, 3)),
        Call(
            "POST /api/fleet/organizations/{id}/accounts",
            format!("{at}/accounts"),
            json!({ "name": "Assets:Spice" }),
        ),
        Call(
            "PUT /api/fleet/organizations/{id}/accounts/{account}",
            format!("{at}/accounts/{}", account.id),
            json!({ "name": "Assets:Pepper" }),
        ),
        Call(
            "POST /api/fleet/organizations/{id}/accounts/{account}/close",
            format!("{at}/accounts/{}/close", account.id),
            json!({ "on": "2026-12-31" }),
        ),
        Call("PUT /api/fleet/organizations/{id}/rates", format!("{at}/rates"), rate("0.95")),
        Call(
            "DELETE /api/fleet/organizations/{id}/rates/{currency}/{date}",
            format!("{at}/rates/USD/2026-01-01"),
            json!({}),
        ),
        Call("POST /api/fleet/organizations/{id}/taxes", format!("{at}/taxes"), tax("20", "2026-01-01")),
        Call(
            "PUT /api/fleet/organizations/{id}/taxes/{tax}",
            format!("{at}/taxes/{}", tax_row.id),
            tax("18", "2021-01-01"),
        ),
        Call(
            "POST /api/fleet/organizations/{id}/taxes/{tax}/close",
            format!("{at}/taxes/{}/close", tax_row.id),
            json!({ "on": "2024-12-31" }),
        ),
        Call("POST /api/fleet/organizations/{id}/items", format!("{at}/items"), item("A-2")),
        Call("PUT /api/fleet/organizations/{id}/items/{item}", format!("{at}/items/{}", item_row.id), item("A-3")),
        Call(
            "POST /api/fleet/organizations/{id}/items/{item}/close",
            format!("{at}/items/{}/close", item_row.id),
            json!({ "on": "2026-12-31" }),
        ),
        Call("PUT /api/fleet/organizations/{id}/settings", format!("{at}/settings"), setting("Thank you")),
        Call("DELETE /api/fleet/organizations/{id}/settings/{key}", format!("{at}/settings/invoice.footer"), json!({})),
        Call(
            "POST /api/fleet/organizations/{id}/roles",
            format!("{at}/roles"),
            json!({ "name": "clerk", "rights": ["capital.*"] }),
        ),
        Call(
            "PUT /api/fleet/organizations/{id}/roles/{role}",
            format!("{at}/roles/{}", spare.id),
            json!({ "name": "guest", "rights": [] }),
        ),
        Call("DELETE /api/fleet/organizations/{id}/roles/{role}", format!("{at}/roles/{}", spare.id), json!({})),
        Call("POST /api/roles", "/api/roles".into(), json!({ "name": "desk", "rights": ["audit.read"] })),
        Call("PUT /api/roles/{id}", format!("/api/roles/{}", own_spare.id), json!({ "name": "guest", "rights": [] })),
        Call("DELETE /api/roles/{id}", format!("/api/roles/{}", own_spare.id), json!({})),
        Call(
            "POST /api/fleet/quarantine/{id}/retry",
            format!("/api/fleet/quarantine/{}/retry", quarantined[0]),
            json!({}),
        ),
        Call(
            "POST /api/fleet/quarantine/{id}/skip",
            format!("/api/fleet/quarantine/{}/skip", quarantined[1]),
            json!({ "reason": "why not" }),
        ),
        Call(
            "POST /api/fleet/proposals/{id}/accept",
            format!("/api/fleet/proposals/{}/accept", proposals[0]),
            json!({}),
        ),
        Call(
            "POST /api/fleet/proposals/{id}/refuse",
            format!("/api/fleet/proposals/{}/refuse", proposals[1]),
            json!({}),
        ),
        Call("POST /api/fleet/boxes/{id}/revoke", box_at("revoke"), json!({ "reason": "walked" })),
        Call(
            "POST /api/me/password",
            "/api/me/password".into(),
            json!({ "current": cluster::MSP.1, "new": "coffee in the morning" }),
        ),
    ];
    let elsewhere = ["POST /api/session", "POST /api/session/totp", "DELETE /api/session"];
    changes(owner, &routes, calls, &elsewhere).await?;
    sessions(owner.base().to_owned(), cluster::MSP.0, "coffee in the morning").await
}

/// What a box of a customer could have found, as it would have been projected, with the mark in every name.
async fn found_there(cloud: &sqlx::PgPool, organization: Uuid, box_id: Uuid) -> Result<()> {
    let sql = format!(
        "INSERT INTO radar_cases (organization_id, box_id, received_at, id, title, rule, severity, state, host, \"user\", opened_at, last_at)
             VALUES ('{organization}', '{box_id}', 0, '{box_id}', '{MARK}', 'r', 'high', 'open', '{MARK}', '', 1, 1);
         INSERT INTO radar_alerts (organization_id, box_id, received_at, id, case_id, rule, title, author, severity, host, \"user\",
                                   count, first_at, last_at, position)
             VALUES ('{organization}', '{box_id}', 0, '{box_id}', '{box_id}', 'r', '{MARK}', '', 'high', '{MARK}', '', 1, 1, 1, 0);
         INSERT INTO guard_devices (organization_id, box_id, received_at, mac, maker, addresses, names, roles, first_seen, last_seen)
             VALUES ('{organization}', '{box_id}', 0, '02:00:5e:10:00:01', '{MARK}', '[]', '{{}}', '[]', 1, 1);
         INSERT INTO guard_detections (organization_id, box_id, received_at, id, key, kind, severity, title, facts, mac, started_at,
                                       last_at, count, state)
             VALUES ('{organization}', '{box_id}', 0, '{box_id}', 'k', 'scan', 'high', '{MARK}', '{{}}', '02:00:5e:10:00:01', 1, 1, 1, 'open');
         INSERT INTO guard_certificates (organization_id, box_id, received_at, server, port, sha256, subject, issuer, names,
                                         not_before, not_after, public_key, signature, self_signed, weak, own, first_seen)
             VALUES ('{organization}', '{box_id}', 0, '10.0.0.1', 443, 'aa', '{MARK}', '{MARK}', '[]', 1, 1, '', '', 0, '[]', 1, 1)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(cloud).await?;
    Ok(())
}

/// Whoever manages the customer sees all of it, page by page; the roll-up counts it.
async fn seen_from_above(owner: &Face) -> Result<()> {
    let lists = ["security/cases", "security/alerts", "network/detections", "network/devices", "network/certificates"];
    for list in lists {
        let page: Page<Value> = owner.get(&format!("/api/fleet/{list}?limit=1&q={MARK}")).await?;
        ensure!(page.items.len() == 1 && page.items[0]["organization"]["name"] == MARK, "{list}: {page:?}");
        let none: Page<Value> = owner.get(&format!("/api/fleet/{list}?branch={}", new_id())).await?;
        ensure!(none.items.is_empty(), "{list}: {none:?}");
    }
    let page: Page<BranchSecurity> = owner.get(&format!("/api/fleet/security/branches?q={MARK}")).await?;
    let branch = page.items.first();
    let counted = branch.is_some_and(|row| {
        let counts = &row.counts;
        (counts.cases.high, counts.detections.high, counts.devices, counts.certificates) == (1, 1, 1, 1)
    });
    ensure!(counted, "{branch:?}");
    let all: SecurityCounts = owner.get("/api/fleet/security/counts").await?;
    ensure!(all.cases.high >= 1 && all.certificates >= 1, "{all:?}");
    Ok(())
}

/// A box by hand that leaves two transactions in quarantine and two proposals that wait.
async fn troubles(
    cluster: &Cluster,
    customer: &cluster::Office,
    account: &Account,
    cloud: &sqlx::PgPool,
) -> Result<([i64; 2], [i64; 2], Uuid)> {
    sqlx::raw_sql("ALTER TABLE entries ADD CONSTRAINT no_poison CHECK (series <> 'POISON')").execute(cloud).await?;
    let claim: Claim = cluster.claim(customer, MARK).await?;
    let by_hand = Stranger::enrol(cluster.wire_url(), &claim.code, MARK).await?;
    by_hand.begin().await?;
    let mut head = Head::start(1);
    let mut transactions = Vec::new();
    for n in 0..2 {
        let entry = json!([{ "t": "entries", "o": "i", "k": { "id": new_id() }, "n": {
            "branch_id": null, "series": "POISON", "year": 2026, "sequence": n, "number": format!("P-{n}"),
            "date": "2026-11-01", "description": MARK, "posted_at": 1, "reverses": null, "external_id": null } }]);
        let edit =
            json!([{ "t": "accounts", "o": "u", "k": { "id": account.id }, "n": { "code": format!("{n}") }, "v": 0 }]);
        for changes in [entry, edit] {
            let (transaction, next) = by_hand.transaction(head, &changes.to_string())?;
            transactions.push(transaction);
            head = next;
        }
    }
    let reply = by_hand.wire.post(path::TRANSACTIONS, &Batch { epoch: 1, transactions }).await?;
    ensure!(reply.status.is_success(), "{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    // What the other box proposed meanwhile waits too.
    let waiting = |what: &str| format!("/api/fleet/{what}?state=open&box={}", by_hand.answer.box_id);
    let quarantined = until("two transactions are in quarantine", 30, || async {
        let page: Page<Quarantined> = cluster.fleet.get(&waiting("quarantine")).await?;
        Ok(<[i64; 2]>::try_from(page.items.iter().map(|q| q.id).collect::<Vec<_>>()).ok())
    })
    .await?;
    let proposals = until("two proposals wait", 30, || async {
        let page: Page<Proposal> = cluster.fleet.get(&waiting("proposals")).await?;
        Ok(<[i64; 2]>::try_from(page.items.iter().map(|p| p.id).collect::<Vec<_>>()).ok())
    })
    .await?;
    sqlx::raw_sql("ALTER TABLE entries DROP CONSTRAINT no_poison").execute(cloud).await?;
    Ok((quarantined, proposals, by_hand.answer.box_id))
}

/// A hash over an organisation's rows in every table that has organisations, except what every contact moves.
async fn fingerprint(cloud: &sqlx::PgPool, organization: Uuid) -> Result<BTreeMap<String, String>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND c.column_name = 'organization_id' AND t.table_type = 'BASE TABLE'
           AND c.table_name NOT IN ('box_states', 'projections')",
    )
    .fetch_all(cloud)
    .await?;
    ensure!(tables.len() > 15, "{tables:?}");
    let mut all = BTreeMap::new();
    for table in tables {
        let sql = format!(
            "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM \"{table}\" t WHERE organization_id = $1"
        );
        let hash: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(organization).fetch_one(cloud).await?;
        all.insert(table, hash);
    }
    Ok(all)
}
