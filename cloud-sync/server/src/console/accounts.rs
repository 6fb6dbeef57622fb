//! A customer's chart of accounts: owned here, handed down to its boxes.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use sent_contract::capital::{Account, NewAccount};
use sent_core::{Problem, Scope, id};
use uuid::Uuid;

use super::{Answer, filter, organizations::must_manage};
use crate::{Cloud, audit::Change, db::Tenancy, fleet};

/// `GET /api/fleet/organizations/{id}/accounts`.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<Account>> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    must_manage(&mut tx, organization).await?;
    let accounts = sqlx::query_as!(
        Account,
        "SELECT id, name, code, kind, currency, valid_from, valid_to, false AS \"pending!\"
         FROM accounts WHERE organization_id = $1 ORDER BY name",
        organization
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Json(accounts))
}

/// `POST /api/fleet/organizations/{id}/accounts`.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewAccount>,
) -> Answer<Account> {
    let name = filter::name("name", &new.name)?;
    if name.split(':').any(|part| part.trim().is_empty()) {
        return Err(Problem::field("name", "a name has words between its colons").into());
    }
    let kind = match new.kind {
        Some(kind) if KINDS.iter().any(|(_, k)| *k == kind) => kind,
        Some(_) => return Err(Problem::field("kind", "use asset, liability, equity, income or expense").into()),
        None => guess(&name)
            .ok_or_else(|| Problem::field("kind", "say what kind of account this is; its first word does not tell"))?
            .to_owned(),
    };
    let currency = new.currency.as_deref().map(|c| filter::currency("currency", c)).transpose()?;
    if let Some(date) = &new.valid_from
        && date.parse::<jiff::civil::Date>().is_err()
    {
        return Err(Problem::field("valid_from", "write the date as YYYY-MM-DD").into());
    }
    let account = Account {
        id: id::new(&*cloud.clock),
        name,
        code: new.code,
        kind,
        currency,
        valid_from: new.valid_from,
        valid_to: None,
        pending: false,
    };
    let mut change = Change::begin(&cloud, &scope, "fleet.account.create").await?;
    must_manage(&mut change, organization).await?;
    sqlx::query!(
        "INSERT INTO accounts (organization_id, id, name, code, kind, currency, valid_from) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        organization,
        account.id,
        account.name,
        account.code,
        account.kind,
        account.currency,
        account.valid_from
    )
    .execute(&mut *change)
    .await?;
    let touched = change.commit().await?;
    fleet::ring_reference(&cloud, &touched).await;
    Ok(Json(account))
}

/// First word of a name, and the kind it tells.
const KINDS: [(&str, &str); 7] = [
    ("assets", "asset"),
    ("liabilities", "liability"),
    ("equity", "equity"),
    ("income", "income"),
    ("revenue", "income"),
    ("revenues", "income"),
    ("expenses", "expense"),
];

fn guess(name: &str) -> Option<&'static str> {
    let first = name.split(':').next()?.trim().to_lowercase();
    KINDS.iter().find(|(word, kind)| *word == first || *kind == first).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_tells_the_kind() {
        assert_eq!(guess("Assets:Bank:Checking"), Some("asset"));
        assert_eq!(guess("Expense:Rent"), Some("expense"));
        assert_eq!(guess("Misc"), None);
    }
}
