//! What a customer buys and sells, and the settings that hold for its whole organisation.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use rust_decimal::Decimal;
use sent_contract::reference::{Close, Item, NewItem, OrganizationSetting};
use sent_core::{
    Problem, Scope,
    chart::{self, MAX_SETTING},
    id, money,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, filter, reference};
use crate::{Cloud, db::Tx, error::Result};

/// `GET /api/fleet/organizations/{id}/items`: by number.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<Item>> {
    let mut tx = reference::reading(&cloud, &scope, organization).await?;
    let items = select(&mut tx, organization, None).await?;
    tx.commit().await?;
    Ok(Json(items))
}

async fn select(tx: &mut Tx, organization: Uuid, only: Option<Uuid>) -> Result<Vec<Item>> {
    Ok(sqlx::query_as!(
        Item,
        "SELECT id, sku, name, unit, price, currency, tax_code AS tax, valid_to, false AS \"pending!\" FROM items
         WHERE organization_id = $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY sku",
        organization,
        only
    )
    .fetch_all(&mut *tx)
    .await?)
}

async fn one(tx: &mut Tx, organization: Uuid, item: Uuid) -> Result<Item> {
    select(tx, organization, Some(item)).await?.pop().ok_or_else(|| Problem::not_found("item").into())
}

fn read(new: NewItem) -> Result<NewItem, Problem> {
    let currency = new.currency.trim().to_owned();
    if !money::is_code(&currency) {
        return Err(Problem::field("currency", "a currency is up to 24 letters and digits, EUR for instance"));
    }
    if new.price < Decimal::ZERO {
        return Err(Problem::field("price", "a price is not below zero"));
    }
    Ok(NewItem {
        sku: reference::code("sku", &new.sku)?,
        name: filter::name("name", &new.name)?,
        unit: filter::name("unit", &new.unit)?,
        price: reference::exact("price", new.price)?,
        currency,
        tax: new.tax.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()),
    })
}

async fn check_tax(tx: &mut Tx, organization: Uuid, code: Option<&str>) -> Result<()> {
    let Some(code) = code else { return Ok(()) };
    sqlx::query_scalar!("SELECT 1 FROM tax_rates WHERE organization_id = $1 AND code = $2 LIMIT 1", organization, code)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| Problem::field("tax", "there is no tax of this code"))?;
    Ok(())
}

/// `POST /api/fleet/organizations/{id}/items`.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewItem>,
) -> Answer<Item> {
    let new = read(new)?;
    let id = id::new(&*cloud.clock);
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.item.create").await?;
    check_tax(&mut change, organization, new.tax.as_deref()).await?;
    sqlx::query!(
        "INSERT INTO items (organization_id, id, sku, name, unit, price, currency, tax_code)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        organization,
        id,
        new.sku,
        new.name,
        new.unit,
        new.price,
        new.currency,
        new.tax
    )
    .execute(&mut *change)
    .await?;
    let item = one(&mut change, organization, id).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(item))
}

/// `PUT /api/fleet/organizations/{id}/items/{item}`.
pub async fn edit(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, item)): Path<(Uuid, Uuid)>,
    Json(new): Json<NewItem>,
) -> Answer<Item> {
    let new = read(new)?;
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.item.edit").await?;
    check_tax(&mut change, organization, new.tax.as_deref()).await?;
    sqlx::query!(
        "UPDATE items SET sku = $3, name = $4, unit = $5, price = $6, currency = $7, tax_code = $8
         WHERE organization_id = $1 AND id = $2",
        organization,
        item,
        new.sku,
        new.name,
        new.unit,
        new.price,
        new.currency,
        new.tax
    )
    .execute(&mut *change)
    .await?;
    let item = one(&mut change, organization, item).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(item))
}

/// `POST /api/fleet/organizations/{id}/items/{item}/close`.
pub async fn close(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, item)): Path<(Uuid, Uuid)>,
    Json(close): Json<Close>,
) -> Answer<Item> {
    let on = reference::optional_date("on", close.on.as_deref())?;
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.item.close").await?;
    sqlx::query!("UPDATE items SET valid_to = $3 WHERE organization_id = $1 AND id = $2", organization, item, on)
        .execute(&mut *change)
        .await?;
    let item = one(&mut change, organization, item).await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(item))
}

/// `GET /api/fleet/organizations/{id}/settings`: by key.
pub async fn settings(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<OrganizationSetting>> {
    let mut tx = reference::reading(&cloud, &scope, organization).await?;
    let settings = sqlx::query_as!(
        OrganizationSetting,
        "SELECT key, value FROM organization_settings WHERE organization_id = $1 ORDER BY key",
        organization
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Json(settings))
}

/// `PUT /api/fleet/organizations/{id}/settings`: adds a setting or changes it.
pub async fn set(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<OrganizationSetting>,
) -> Answer<OrganizationSetting> {
    if let Some(fault) = chart::setting_fault(&new.key) {
        return Err(Problem::field("key", fault).into());
    }
    if new.value.chars().count() > MAX_SETTING.1 || new.value.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::field("value", "at most 2,000 characters, without control characters").into());
    }
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.setting.set").await?;
    sqlx::query!(
        "INSERT INTO organization_settings (organization_id, key, value) VALUES ($1, $2, $3)
         ON CONFLICT (organization_id, key) DO UPDATE SET value = excluded.value",
        organization,
        new.key,
        new.value
    )
    .execute(&mut *change)
    .await?;
    reference::finish(&cloud, change).await?;
    Ok(Json(new))
}

/// `DELETE /api/fleet/organizations/{id}/settings/{key}`: back to what holds without it.
pub async fn unset(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, key)): Path<(Uuid, String)>,
) -> Answer<Value> {
    let mut change = reference::changing(&cloud, &scope, organization, "fleet.setting.remove").await?;
    let removed =
        sqlx::query!("DELETE FROM organization_settings WHERE organization_id = $1 AND key = $2", organization, key)
            .execute(&mut *change)
            .await?;
    reference::found(removed.rows_affected(), "setting")?;
    reference::finish(&cloud, change).await?;
    Ok(Json(json!({ "state": "removed" })))
}
