//! Reference data the cloud owns, as a branch sees and edits it: chart of accounts, exchange rates, taxes, items.
//!
//! An edit here is used at once and travels up as a proposal with the version it is based on; until the cloud has answered,
//! the row is pending. A stand-alone box is its own cloud, and nothing on it is pending. Whoever edits an account, its postings stay possible: they hold
//! it to its kind, to their currencies and to the days they lie on.

use rust_decimal::Decimal;
use sent_contract::{
    Uuid,
    capital::{Account, NewAccount},
    reference::{Close, FxRate, Item, NewFxRate, TaxRate},
};
use sent_core::{Scope, money};

use crate::{
    error::LedgerError,
    model::{self, Date},
    service::{CURRENCY_RULE, DATE_RULE, Ledger, check_account},
    store::{self, Postings},
};

type Result<T> = std::result::Result<T, LedgerError>;

impl Ledger {
    /// Changes an account. A kind that is not given stays.
    pub fn edit_account(&self, scope: &Scope, id: Uuid, new: NewAccount) -> Result<Account> {
        check_account(&new)?;
        let account = self.store.write_blocking(scope, "capital.account.edit", move |tx| {
            let mut account = store::account_of(tx, id)?.ok_or(LedgerError::Missing("account"))?;
            check_edit(&account, &new, &store::postings(tx, id)?)?;
            if store::account_named(tx, &new.name)?.is_some_and(|other| other.id != id) {
                return Err(LedgerError::Conflict(format!("there is an account {} already", new.name)));
            }
            account.name = new.name;
            account.code = new.code;
            account.kind = new.kind.unwrap_or(account.kind);
            account.currency = new.currency;
            account.valid_from = new.valid_from;
            store::update_account(tx, &account)?;
            store::account_of(tx, id)?.ok_or(LedgerError::Missing("account"))
        })?;
        Ok(self.standing(account))
    }

    /// Sets or takes back the last day an account may be posted to.
    pub fn close_account(&self, scope: &Scope, id: Uuid, close: Close) -> Result<Account> {
        let on = close.on.as_deref().map(|on| day("on", on)).transpose()?;
        let account = self.store.write_blocking(scope, "capital.account.close", move |tx| {
            let mut account = store::account_of(tx, id)?.ok_or(LedgerError::Missing("account"))?;
            if let Some(on) = on {
                check_close(&account, on, &store::postings(tx, id)?)?;
            }
            account.valid_to = on.map(|on| on.to_string());
            store::update_account(tx, &account)?;
            store::account_of(tx, id)?.ok_or(LedgerError::Missing("account"))
        })?;
        Ok(self.standing(account))
    }

    /// Sets what one unit of a currency is worth in base currency from a date on. Entries that are posted keep the rate
    /// they were posted at.
    pub fn set_rate(&self, scope: &Scope, new: NewFxRate) -> Result<FxRate> {
        if !money::is_code(&new.currency) {
            return Err(LedgerError::field("currency", CURRENCY_RULE));
        }
        let date = day("date", &new.date)?;
        if new.rate <= Decimal::ZERO || !model::has_28_digits(new.rate) {
            return Err(LedgerError::field("rate", "a rate is greater than zero and has at most 28 digits"));
        }
        let rate = self.store.write_blocking(scope, "capital.rate.set", move |tx| {
            if store::base_currency(tx)? == new.currency {
                return Err(LedgerError::field("currency", "this is the base currency: one unit is worth one unit"));
            }
            store::put_rate(tx, &new.currency, date, new.rate)?;
            let set = |rate: &FxRate| rate.currency == new.currency && rate.date == new.date;
            store::all_rates(tx)?.into_iter().find(set).ok_or(LedgerError::Missing("rate"))
        })?;
        Ok(self.standing(rate))
    }

    /// Every exchange rate, newest first.
    pub fn rates(&self, scope: &Scope) -> Result<Vec<FxRate>> {
        Ok(self.all_standing(self.store.read_blocking(scope, store::all_rates)?))
    }

    /// Every tax rate, by code, newest first.
    pub fn taxes(&self, scope: &Scope) -> Result<Vec<TaxRate>> {
        Ok(self.all_standing(self.store.read_blocking(scope, store::taxes)?))
    }

    /// Every item, by number.
    pub fn items(&self, scope: &Scope) -> Result<Vec<Item>> {
        Ok(self.all_standing(self.store.read_blocking(scope, store::items)?))
    }
}

fn day(field: &str, text: &str) -> Result<Date> {
    Date::parse(text).ok_or_else(|| LedgerError::field(field, DATE_RULE))
}

fn check_edit(account: &Account, new: &NewAccount, postings: &Postings) -> Result<()> {
    if let Some((from, to)) = new.valid_from.as_ref().zip(account.valid_to.as_ref()).filter(|(from, to)| from > to) {
        return Err(LedgerError::field("valid_from", format!("it is closed after {to} and cannot open on {from}")));
    }
    let Some((first, _)) = &postings.span else { return Ok(()) };
    if new.kind.as_ref().is_some_and(|kind| *kind != account.kind) {
        return Err(LedgerError::field("kind", "there are postings on it; make another account instead"));
    }
    if let Some(other) = new.currency.as_ref().and_then(|only| postings.currencies.iter().find(|c| *c != only)) {
        return Err(LedgerError::field("currency", format!("there are postings in {other} on it")));
    }
    if new.valid_from.as_ref().is_some_and(|from| from > first) {
        return Err(LedgerError::field("valid_from", format!("there is a posting on {first}")));
    }
    Ok(())
}

fn check_close(account: &Account, on: Date, postings: &Postings) -> Result<()> {
    if let Some(from) = account.valid_from.as_deref().filter(|from| on.as_str() < *from) {
        return Err(LedgerError::field("on", format!("it opens on {from} and cannot close before that")));
    }
    match &postings.span {
        Some((_, last)) if on.as_str() < last.as_str() => {
            Err(LedgerError::field("on", format!("there is a posting on {last}; close it on that day or later")))
        }
        _ => Ok(()),
    }
}
