//! What the cloud owns comes down to the box and is used there: rates, taxes, items, settings, the chart of accounts. What a
//! branch edits goes up as a proposal: taken at once where it is based on the cloud's present row, and decided by a person
//! where both were edited while they were apart.

use reqwest::{Method, StatusCode};
use sent_contract::{
    Decimal, Page, Uuid,
    capital::{Account, Entry},
    fleet::Proposal,
    identity::User,
    reference::{FxRate, Item, OrganizationSetting, TaxRate},
};
use sent_tests::{
    Appliance, Cluster, Context as _, Face, Result, Setup, books,
    cluster::{Office, PASSWORD},
    ensure,
    relay::Weather,
    until,
};
use serde_json::{Value, json};

use crate::new_id;

/// The account of a name.
async fn account(face: &Face, path: &str, id: Uuid) -> Result<Account> {
    let accounts: Vec<Account> = face.get(path).await?;
    accounts.into_iter().find(|a| a.id == id).context("the account is gone")
}

/// The currency's newest rate.
async fn rate(face: &Face, path: &str, currency: &str) -> Result<Option<FxRate>> {
    let rates: Vec<FxRate> = face.get(path).await?;
    Ok(rates.into_iter().find(|r| r.currency == currency))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reference_data() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (appliance, face) = cluster.appliance(&office, "box").await?;
    let at = format!("/api/fleet/organizations/{}", office.organization);
    comes_down(&cluster, &face, &at).await?;
    goes_up(&cluster, &face, &at).await?;
    is_decided(&cluster, &face, &at).await?;
    is_ones_own(&mut cluster, &office, &appliance, &face).await?;
    cluster.passed();
    Ok(())
}

async fn comes_down(cluster: &Cluster, face: &Face, at: &str) -> Result<()> {
    let fleet = &cluster.fleet;
    let dollars = [("Assets:Bank:Dollars", 10_000, "USD"), ("Income:Services", -10_000, "USD")];
    let sale = |id| books::entry(id, "2026-11-02", "Consulting", &dollars);
    let before: Entry = books::post(face, &sale(new_id())).await?;
    ensure!(before.lines.iter().all(|l| l.base.is_none()), "nobody knows yet what a dollar is worth: {before:?}");

    let exact: Decimal = "0.9123456789012345678901234567".parse()?;
    let new = json!({ "currency": "USD", "date": "2026-01-01", "rate": exact.to_string() });
    fleet.change(Method::PUT, &format!("{at}/rates"), &new).await?;
    let tax = json!({ "code": "VAT", "name": "Value added tax", "rate": "19", "valid_from": "2021-01-01" });
    let tax: TaxRate = fleet.post(&format!("{at}/taxes"), &tax).await?;
    let item =
        json!({ "sku": "A-1", "name": "Chair", "unit": "piece", "price": "149.90", "currency": "EUR", "tax": "VAT" });
    let item: Item = fleet.post(&format!("{at}/items"), &item).await?;
    let demand = json!({ "key": "entry.description.required", "value": "true" });
    fleet.change(Method::PUT, &format!("{at}/settings"), &demand).await?;
    until("rates, taxes, items and settings are on the box", 30, || async {
        let settings: Vec<OrganizationSetting> = face.get("/api/organization/settings").await?;
        Ok((!settings.is_empty()).then_some(()))
    })
    .await?;
    let taxes: Vec<TaxRate> = face.get("/api/capital/taxes").await?;
    let items: Vec<Item> = face.get("/api/capital/items").await?;
    ensure!((taxes, items) == (vec![tax], vec![item]), "not as they were made");

    // The rate is exact to the last digit, and what is posted now has its worth in base currency.
    let here = rate(face, "/api/capital/rates", "USD").await?.context("the rate is not on the box")?;
    ensure!(here.rate == exact && !here.pending, "{here:?}");
    let after: Entry = books::post(face, &sale(new_id())).await?;
    ensure!(after.lines[0].base == Some("91.23".parse()?), "{after:?}");
    let silent = books::entry(new_id(), "2026-11-02", "", &dollars);
    let answer = face.send_json(Method::POST, "/api/capital/entries", &silent).await?;
    ensure!(answer.status == StatusCode::UNPROCESSABLE_ENTITY, "{}: {}", answer.status, answer.text());
    Ok(())
}

/// A branch's edit of what the cloud has is taken, and is no longer pending once the answer is there.
async fn goes_up(cluster: &Cluster, face: &Face, at: &str) -> Result<()> {
    let new = json!({ "currency": "USD", "date": "2026-01-01", "rate": "0.95" });
    let set: Value = face.change(Method::PUT, "/api/capital/rates", &new).await?.json()?;
    ensure!(set["pending"] == true, "it waits for the cloud: {set}");
    until("the cloud has taken the rate", 30, || async {
        let there = rate(&cluster.fleet, &format!("{at}/rates"), "USD").await?.context("the rate is gone")?;
        Ok((there.rate == "0.95".parse()?).then_some(()))
    })
    .await?;
    until("the box has the cloud's answer", 30, || async {
        let here = rate(face, "/api/capital/rates", "USD").await?.context("the rate is gone")?;
        Ok((!here.pending && here.rate == "0.95".parse()?).then_some(()))
    })
    .await?;
    let open: Page<Proposal> = cluster.fleet.get("/api/fleet/proposals?state=open").await?;
    ensure!(open.items.is_empty(), "nothing is left to decide: {open:?}");
    Ok(())
}

/// A user's own new password counts on the box at once, without a cloud in reach, and in the cloud without anybody's decision.
async fn is_ones_own(cluster: &mut Cluster, office: &Office, appliance: &Appliance, face: &Face) -> Result<()> {
    const NEW: &str = "a password of one's own";
    cluster.wire.set(Weather::Cut);
    let change = json!({ "current": PASSWORD, "new": NEW });
    face.change(Method::POST, "/api/me/password", &change).await?;
    ensure!(appliance.login(&office.owner, PASSWORD).await.is_err(), "the old password still opens the box");
    let face = appliance.login(&office.owner, NEW).await?;
    let pending = || async {
        let users: Result<Vec<User>> = face.get("/api/users").await;
        users.map(|users| users.iter().any(|u| u.email == office.owner && u.pending))
    };
    ensure!(pending().await?, "the cloud cannot know it yet");
    cluster.wire.set(Weather::Clear);
    until("the cloud has taken the password", 60, || async { Ok((!pending().await?).then_some(())) }).await?;
    let open: Page<Proposal> = cluster.fleet.get("/api/fleet/proposals?state=open").await?;
    ensure!(open.items.is_empty(), "somebody is to decide about it: {open:?}");
    appliance.login(&office.owner, NEW).await?;
    let kept: String = sqlx::query_scalar("SELECT password_hash FROM users WHERE email = $1")
        .bind(&office.owner)
        .fetch_one(&cluster.postgres.owner().await?)
        .await?;
    ensure!(kept.split('$').count() == 6, "the proof stays in the cloud");
    Ok(())
}

/// Both sides edit one account while the line is cut.
async fn is_decided(cluster: &Cluster, face: &Face, at: &str) -> Result<()> {
    let fleet = &cluster.fleet;
    let accounts: Vec<Account> = face.get("/api/capital/accounts").await?;
    let id = accounts.iter().find(|a| a.name == "Expenses:Travel").map(|a| a.id).context("no account for travel")?;
    for (accepted, verb) in [(false, "refuse"), (true, "accept")] {
        cluster.wire.set(Weather::Cut);
        let code = |who: u32| json!({ "name": "Expenses:Travel", "code": format!("{who}{}", u32::from(accepted)) });
        fleet.change(Method::PUT, &format!("{at}/accounts/{id}"), &code(100)).await?;
        face.change(Method::PUT, &format!("/api/capital/accounts/{id}"), &code(200)).await?;
        ensure!(account(face, "/api/capital/accounts", id).await?.pending, "it waits for the cloud");
        cluster.wire.set(Weather::Clear);
        let proposal = until("the branch's edit waits for a decision", 60, || async {
            let open: Page<Proposal> = fleet.get("/api/fleet/proposals?state=open").await?;
            Ok(open.items.into_iter().next())
        })
        .await?;
        let proposed = proposal.proposed["code"].as_str().map(str::to_owned);
        ensure!(
            proposal.table == "accounts" && proposed == Some(format!("200{}", u32::from(accepted))),
            "{proposal:?}"
        );
        fleet.change(Method::POST, &format!("/api/fleet/proposals/{}/{verb}", proposal.id), &json!({})).await?;
        let wanted = format!("{}{}", if accepted { 200 } else { 100 }, u32::from(accepted));
        for (face, path) in [(fleet, format!("{at}/accounts")), (face, "/api/capital/accounts".to_owned())] {
            until("both sides have what was decided", 60, || async {
                let account = account(face, &path, id).await?;
                Ok((account.code.as_deref() == Some(&wanted) && !account.pending).then_some(()))
            })
            .await
            .with_context(|| format!("{verb}: {path} should have {wanted}"))?;
        }
    }
    Ok(())
}
