//! What the pages of reference data have in common: whose it is, what people type, and the ring at the boxes afterwards.

use rust_decimal::Decimal;
use sent_core::{Problem, Scope, chart::Date};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::organizations::must_manage;
use crate::{
    Cloud,
    audit::Change,
    db::Tenancy,
    error::{Error, Result},
    fleet,
};

/// Begins to read rows of an organisation that the caller manages.
pub async fn reading(cloud: &Cloud, scope: &Scope, organization: Uuid) -> Result<Transaction<'static, Postgres>> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    must_manage(&mut tx, organization).await?;
    Ok(tx)
}

/// Begins to change rows of an organisation that the caller manages.
pub async fn changing(cloud: &Cloud, scope: &Scope, organization: Uuid, action: &'static str) -> Result<Change> {
    let mut change = Change::begin(cloud, scope, action).await?;
    must_manage(&mut change, organization).await?;
    Ok(change)
}

/// Commits, and rings at the boxes that are to hear of it.
pub async fn finish(cloud: &Cloud, change: Change) -> Result<()> {
    let touched = change.commit().await?;
    fleet::ring_reference(cloud, &touched).await;
    Ok(())
}

/// A day as people write it.
pub fn date(field: &str, text: &str) -> Result<Date, Problem> {
    Date::parse(text.trim()).ok_or_else(|| Problem::field(field, "a date is written like 2026-03-31"))
}

/// A day that need not be there; an empty one is none.
pub fn optional_date(field: &str, text: Option<&str>) -> Result<Option<String>, Problem> {
    text.filter(|t| !t.trim().is_empty()).map(|t| date(field, t).map(|d| d.to_string())).transpose()
}

/// A code: letters, digits and what separates them, up to 40 characters.
pub fn code(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let plain = |c: char| c.is_alphanumeric() || "._-/ ".contains(c);
    if text.is_empty() || text.chars().count() > 40 || !text.chars().all(plain) {
        return Err(Problem::field(
            field,
            "a code has up to 40 letters and digits, dots, dashes and blanks between them",
        ));
    }
    Ok(text.to_owned())
}

/// An amount that can be kept exactly: up to 28 digits.
pub fn exact(field: &str, amount: Decimal) -> Result<Decimal, Problem> {
    if amount.mantissa().unsigned_abs() >= 10u128.pow(28) {
        return Err(Problem::field(field, "at most 28 digits"));
    }
    Ok(amount)
}

/// Refuses the last day of something before its first.
pub fn check_period(field: &str, from: Option<&str>, to: Option<&str>) -> Result<(), Problem> {
    match (from, to) {
        (Some(from), Some(to)) if to < from => {
            Err(Problem::field(field, format!("it begins on {from} and cannot end before that")))
        }
        _ => Ok(()),
    }
}

/// Says that there is no such row when a statement found none.
pub fn found(rows: u64, what: &'static str) -> Result<()> {
    if rows == 0 { Err(Error::from(Problem::not_found(what))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_days_are_read_strictly() {
        assert_eq!(code("code", " VAT-19 ").unwrap(), "VAT-19");
        for bad in ["", "  ", "a\nb", "<b>", &"x".repeat(41)] {
            assert!(code("code", bad).is_err(), "{bad:?}");
        }
        assert_eq!(optional_date("on", Some(" ")).unwrap(), None);
        assert_eq!(optional_date("on", Some("2026-03-31")).unwrap().as_deref(), Some("2026-03-31"));
        assert!(optional_date("on", Some("31.3.2026")).is_err());
    }

    #[test]
    fn nothing_ends_before_it_begins() {
        assert!(check_period("on", Some("2026-01-02"), Some("2026-01-01")).is_err());
        assert!(check_period("on", Some("2026-01-02"), Some("2026-01-02")).is_ok());
        assert!(check_period("on", None, Some("2026-01-02")).is_ok());
    }
}
