//! A customer's chart of accounts: owned here, handed down to its boxes. An account that has postings keeps what they rely on:
//! its kind, its currency as far as they go, and the days on which they lie.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use sent_contract::{
    capital::{Account, NewAccount},
    reference::Close,
};
use sent_core::{
    Problem, Scope,
    chart::{self, Kind},
    money,
};
use uuid::Uuid;

use super::{Answer, reference};
use crate::{Cloud, db::Tx, error::Result};

/// `GET /api/fleet/organizations/{id}/accounts`.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<Account>> {
    let mut tx = reference::reading(&cloud, &scope, organization).await?;
    let accounts = select(&mut tx, organization, None).await?;
    tx.commit().await?;
    Ok(Json(accounts))
}

async fn select(tx: &mut Tx, organization: Uuid, only: Option<Uuid>) -> Result<Vec<Account>> {
    Ok(sqlx::query_as!(
        Account,
        "SELECT id, name, code, kind, currency, valid_from, valid_to, false AS \"pending!\"
         FROM accounts WHERE organization_id = $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY name",
        organization,
        only
    )
    .fetch_all(&mut *tx)
    .await?)
}

async fn one(tx: &mut Tx, organization: Uuid, account: Uuid) -> Result<Account> {
    select(tx, organization, Some(account)).await?.pop().ok_or_else(|| Problem::not_found("account").into())
}

/// What was typed, made canonical.
struct Typed {
    name: String,
    code: Option<String>,
    kind: Option<Kind>,
    currency: Option<String>,
    valid_from: Option<String>,
}

fn read(new: &NewAccount) -> Result<Typed, Problem> {
    let name = new.name.trim();
    if let Some(fault) = chart::account_fault(name) {
        return Err(Problem::field("name", fault));
    }
    let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    let kind = match given(&new.kind) {
        Some(kind) => Some(
            Kind::parse(&kind)
                .ok_or_else(|| Problem::field("kind", "a kind is asset, liability, equity, income or expense"))?,
        ),
        None => None,
    };
    let currency = given(&new.currency);
    if currency.as_deref().is_some_and(|c| !money::is_code(c)) {
        return Err(Problem::field("currency", "a currency is up to 24 letters and digits, EUR for instance"));
    }
    Ok(Typed {
        name: name.to_owned(),
        code: given(&new.code).map(|c| reference::code("code", &c)).transpose()?,
        kind,
        currency,
        valid_from: reference::optional_date("valid_from", new.valid_from.as_deref())?,
    })
}

/// `POST /api/fleet/organizations/{id}/accounts`.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewAccount>,
) -> Answer<Account> {
    let typed = read(&new)?;
    let kind = typed
        .kind
        .or_else(|| Kind::guess(&typed.name))
        .ok_or_else(|| Problem::field("kind", "say what kind of account this is; its first word does not tell"))?;
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.account.create").await?;
    let id = free_id(&mut change, organization, &typed.name).await?;
    sqlx::query!(
        "INSERT INTO accounts (organization_id, id, name, code, kind, currency, valid_from) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        organization,
        id,
        typed.name,
        typed.code,
        kind.as_str(),
        typed.currency,
        typed.valid_from
    )
    .execute(&mut *change)
    .await?;
    let account = one(&mut change, organization, id).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(account))
}

/// The id a branch would give an account of this name, so that both make one row.
async fn free_id(tx: &mut Tx, organization: Uuid, name: &str) -> Result<Uuid> {
    let mut attempt = 0;
    loop {
        let id = chart::account_id(organization, name, attempt);
        let taken = sqlx::query_scalar!(
            "SELECT EXISTS (SELECT FROM accounts WHERE organization_id = $1 AND id = $2 AND name <> $3) AS \"taken!\"",
            organization,
            id,
            name
        )
        .fetch_one(&mut *tx)
        .await?;
        if !taken {
            return Ok(id);
        }
        attempt += 1;
    }
}

/// What the postings on an account hold it to.
struct Use {
    first: Option<String>,
    last: Option<String>,
    currencies: Vec<String>,
}

async fn used(tx: &mut Tx, organization: Uuid, account: Uuid) -> Result<Use> {
    Ok(sqlx::query_as!(
        Use,
        "SELECT min(e.date)::text AS first, max(e.date)::text AS last,
                coalesce(array_agg(DISTINCT l.currency), '{}') AS \"currencies!\"
         FROM lines l JOIN entries e ON e.box_id = l.box_id AND e.id = l.entry_id
         WHERE l.organization_id = $1 AND l.account_id = $2",
        organization,
        account
    )
    .fetch_one(&mut *tx)
    .await?)
}

/// `PUT /api/fleet/organizations/{id}/accounts/{account}`.
pub async fn edit(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, account)): Path<(Uuid, Uuid)>,
    Json(new): Json<NewAccount>,
) -> Answer<Account> {
    let typed = read(&new)?;
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.account.edit").await?;
    let before = one(&mut change, organization, account).await?;
    reference::check_period("valid_from", typed.valid_from.as_deref(), before.valid_to.as_deref())?;
    let kind = typed.kind.map_or_else(|| before.kind.clone(), |k| k.as_str().to_owned());
    let used = used(&mut change, organization, account).await?;
    if let Some(first) = &used.first {
        if kind != before.kind {
            return Err(Problem::field("kind", "there are postings on it; make another account instead").into());
        }
        if let Some(other) = typed.currency.as_ref().and_then(|only| used.currencies.iter().find(|c| *c != only)) {
            return Err(Problem::field("currency", format!("there are postings in {other} on it")).into());
        }
        if typed.valid_from.as_ref().is_some_and(|from| from > first) {
            return Err(Problem::field("valid_from", format!("there is a posting on {first}")).into());
        }
    }
    sqlx::query!(
        "UPDATE accounts SET name = $3, code = $4, kind = $5, currency = $6, valid_from = $7
         WHERE organization_id = $1 AND id = $2",
        organization,
        account,
        typed.name,
        typed.code,
        kind,
        typed.currency,
        typed.valid_from
    )
    .execute(&mut *change)
    .await?;
    let account = one(&mut change, organization, account).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(account))
}

/// `POST /api/fleet/organizations/{id}/accounts/{account}/close`.
pub async fn close(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, account)): Path<(Uuid, Uuid)>,
    Json(close): Json<Close>,
) -> Answer<Account> {
    let on = reference::optional_date("on", close.on.as_deref())?;
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.account.close").await?;
    let before = one(&mut change, organization, account).await?;
    reference::check_period("on", before.valid_from.as_deref(), on.as_deref())?;
    let last = used(&mut change, organization, account).await?.last;
    if let Some((last, _)) = last.zip(on.as_ref()).filter(|(last, on)| *on < last) {
        return Err(Problem::field("on", format!("there is a posting on {last}; close it on that day or later")).into());
    }
    sqlx::query!("UPDATE accounts SET valid_to = $3 WHERE organization_id = $1 AND id = $2", organization, account, on)
        .execute(&mut *change)
        .await?;
    let account = one(&mut change, organization, account).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(account))
}
