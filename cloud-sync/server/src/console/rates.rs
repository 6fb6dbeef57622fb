//! Exchange rates and tax rates of a customer. Both are in force from a day on: an exchange rate until the next one of its
//! currency, a tax rate until its last day. What is corrected reaches the boxes; what they posted before stays as it was.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use rust_decimal::Decimal;
use sent_contract::reference::{Close, FxRate, NewFxRate, NewTaxRate, TaxRate};
use sent_core::{Problem, Scope, id, money};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, filter, reference};
use crate::{Cloud, db::Tx, error::Result};

/// `GET /api/fleet/organizations/{id}/rates`: newest first.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<FxRate>> {
    let mut tx = reference::reading(&cloud, &scope, organization).await?;
    let rates = sqlx::query_as!(
        FxRate,
        "SELECT currency, date, rate, false AS \"pending!\" FROM fx_rates WHERE organization_id = $1
         ORDER BY date DESC, currency",
        organization
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Json(rates))
}

/// `PUT /api/fleet/organizations/{id}/rates`.
pub async fn set(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewFxRate>,
) -> Answer<FxRate> {
    let currency = new.currency.trim().to_owned();
    if !money::is_code(&currency) {
        return Err(Problem::field("currency", "a currency is up to 24 letters and digits, USD for instance").into());
    }
    let date = reference::date("date", &new.date)?.to_string();
    let rate = reference::exact("rate", new.rate)?;
    if rate <= Decimal::ZERO {
        return Err(Problem::field("rate", "a rate is greater than zero").into());
    }
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.rate.set").await?;
    let base = sqlx::query_scalar!("SELECT currency FROM organizations WHERE organization_id = $1", organization)
        .fetch_one(&mut *change)
        .await?;
    if base == currency {
        return Err(Problem::field("currency", "this is the base currency: one unit is worth one unit").into());
    }
    sqlx::query!(
        "INSERT INTO fx_rates (organization_id, currency, date, rate) VALUES ($1, $2, $3, $4)
         ON CONFLICT (organization_id, currency, date) DO UPDATE SET rate = excluded.rate",
        organization,
        currency,
        date,
        rate
    )
    .execute(&mut *change)
    .await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(FxRate { currency, date, rate, pending: false }))
}

/// `DELETE /api/fleet/organizations/{id}/rates/{currency}/{date}`: a rate that never was.
pub async fn remove(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, currency, date)): Path<(Uuid, String, String)>,
) -> Answer<Value> {
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.rate.remove").await?;
    let removed = sqlx::query!(
        "DELETE FROM fx_rates WHERE organization_id = $1 AND currency = $2 AND date = $3",
        organization,
        currency,
        date
    )
    .execute(&mut *change)
    .await?;
    reference::found(removed.rows_affected(), "rate")?;
    reference::finish(&cloud, change).await?;
    Ok(Json(json!({ "state": "removed" })))
}

/// `GET /api/fleet/organizations/{id}/taxes`: by code, newest first.
pub async fn taxes(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<TaxRate>> {
    let mut tx = reference::reading(&cloud, &scope, organization).await?;
    let taxes = select(&mut tx, organization, None).await?;
    tx.commit().await?;
    Ok(Json(taxes))
}

async fn select(tx: &mut Tx, organization: Uuid, only: Option<Uuid>) -> Result<Vec<TaxRate>> {
    Ok(sqlx::query_as!(
        TaxRate,
        "SELECT id, code, name, rate, valid_from, valid_to, false AS \"pending!\" FROM tax_rates
         WHERE organization_id = $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY code, valid_from DESC",
        organization,
        only
    )
    .fetch_all(&mut *tx)
    .await?)
}

async fn one(tx: &mut Tx, organization: Uuid, tax: Uuid) -> Result<TaxRate> {
    select(tx, organization, Some(tax)).await?.pop().ok_or_else(|| Problem::not_found("tax rate").into())
}

fn percent(rate: Decimal) -> Result<Decimal, Problem> {
    if rate < Decimal::ZERO || rate > Decimal::ONE_HUNDRED {
        return Err(Problem::field("rate", "a tax is from 0 to 100 percent"));
    }
    reference::exact("rate", rate)
}

/// `POST /api/fleet/organizations/{id}/taxes`. The rate of this code that is in force until further notice ends the day before.
pub async fn create_tax(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewTaxRate>,
) -> Answer<TaxRate> {
    let code = reference::code("code", &new.code)?;
    let name = filter::name("name", &new.name)?;
    let rate = percent(new.rate)?;
    let from = reference::date("valid_from", &new.valid_from)?;
    let id = id::new(&*cloud.clock);
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.tax.create").await?;
    sqlx::query!(
        "UPDATE tax_rates SET valid_to = $3
         WHERE organization_id = $1 AND code = $2 AND valid_to IS NULL AND valid_from <= $3",
        organization,
        code,
        from.yesterday().map(|d| d.to_string())
    )
    .execute(&mut *change)
    .await?;
    sqlx::query!(
        "INSERT INTO tax_rates (organization_id, id, code, name, rate, valid_from) VALUES ($1, $2, $3, $4, $5, $6)",
        organization,
        id,
        code,
        name,
        rate,
        from.as_str()
    )
    .execute(&mut *change)
    .await?;
    let tax = one(&mut change, organization, id).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(tax))
}

/// `PUT /api/fleet/organizations/{id}/taxes/{tax}`: all but its code, which items name.
pub async fn edit_tax(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, tax)): Path<(Uuid, Uuid)>,
    Json(new): Json<NewTaxRate>,
) -> Answer<TaxRate> {
    let name = filter::name("name", &new.name)?;
    let rate = percent(new.rate)?;
    let from = reference::date("valid_from", &new.valid_from)?;
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.tax.edit").await?;
    let before = one(&mut change, organization, tax).await?;
    if new.code.trim() != before.code {
        return Err(Problem::field("code", "items name this code; make a tax of another code instead").into());
    }
    reference::check_period("valid_from", Some(from.as_str()), before.valid_to.as_deref())?;
    sqlx::query!(
        "UPDATE tax_rates SET name = $3, rate = $4, valid_from = $5 WHERE organization_id = $1 AND id = $2",
        organization,
        tax,
        name,
        rate,
        from.as_str()
    )
    .execute(&mut *change)
    .await?;
    let tax = one(&mut change, organization, tax).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(tax))
}

/// `POST /api/fleet/organizations/{id}/taxes/{tax}/close`.
pub async fn close_tax(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, tax)): Path<(Uuid, Uuid)>,
    Json(close): Json<Close>,
) -> Answer<TaxRate> {
    let on = reference::optional_date("on", close.on.as_deref())?;
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.tax.close").await?;
    let before = one(&mut change, organization, tax).await?;
    reference::check_period("on", Some(&before.valid_from), on.as_deref())?;
    sqlx::query!("UPDATE tax_rates SET valid_to = $3 WHERE organization_id = $1 AND id = $2", organization, tax, on)
        .execute(&mut *change)
        .await?;
    let tax = one(&mut change, organization, tax).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(tax))
}
