//! Reference data of an organisation: owned by the cloud, handed down to its boxes, proposed by its branches.
//!
//! Days are ISO dates (`2026-03-31`), both ends included; a `valid_to` that is not there means "until further notice".
use crate::{Decimal, Uuid};
use serde::{Deserialize, Serialize};

/// `POST …/{id}/close`: ends an account, a tax rate or an item, or takes that back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Last day it may be used; none opens it again.
    pub on: Option<String>,
}

/// What one unit of a currency is worth in base currency, from a day on until the next rate of that currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FxRate {
    /// Currency code.
    pub currency: String,
    /// First day it is in force.
    pub date: String,
    /// Worth of one unit in base currency, greater than zero.
    pub rate: Decimal,
    /// The cloud has not answered to this edit yet.
    #[serde(default)]
    pub pending: bool,
}

/// `PUT …/rates`: adds a rate, or corrects the one of that currency and day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewFxRate {
    /// Currency code.
    pub currency: String,
    /// First day it is in force.
    pub date: String,
    /// Worth of one unit in base currency.
    pub rate: Decimal,
}

/// A tax rate. A code may have several, one after the other; on one day it has at most one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaxRate {
    /// Id.
    pub id: Uuid,
    /// Code: `VAT19`, `REDUCED`.
    pub code: String,
    /// Name as people read it.
    pub name: String,
    /// Percent of the net amount, from 0 to 100.
    pub rate: Decimal,
    /// First day it is in force.
    pub valid_from: String,
    /// Last day.
    pub valid_to: Option<String>,
    /// The cloud has not answered to this edit yet.
    #[serde(default)]
    pub pending: bool,
}

/// `POST …/taxes` and `PUT …/taxes/{tax}`. A new rate of a code ends the one before it on the day before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewTaxRate {
    /// Code; stays when a rate is edited.
    pub code: String,
    /// Name.
    pub name: String,
    /// Percent of the net amount.
    pub rate: Decimal,
    /// First day.
    pub valid_from: String,
}

/// Something that is bought or sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Id.
    pub id: Uuid,
    /// Stock keeping unit: its number.
    pub sku: String,
    /// Name.
    pub name: String,
    /// What one of it is: `piece`, `hour`, `kg`.
    pub unit: String,
    /// Net price of one unit.
    pub price: Decimal,
    /// Currency of the price.
    pub currency: String,
    /// Code of its tax, if any.
    pub tax: Option<String>,
    /// Last day it is bought or sold.
    pub valid_to: Option<String>,
    /// The cloud has not answered to this edit yet.
    #[serde(default)]
    pub pending: bool,
}

/// `POST …/items` and `PUT …/items/{item}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewItem {
    /// Stock keeping unit, one of a kind in the organisation.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Unit.
    pub unit: String,
    /// Net price of one unit, not below zero.
    pub price: Decimal,
    /// Currency of the price.
    pub currency: String,
    /// Code of its tax.
    #[serde(default)]
    pub tax: Option<String>,
}

/// A setting that holds for the whole organisation, on all of its boxes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationSetting {
    /// Lower-case words with dots between them: `entry.description.required`.
    pub key: String,
    /// Value.
    pub value: String,
}
