//! What box and cloud must agree on about reference data of the books: dates, kinds and names of accounts, and the id an account
//! gets. Both ends make accounts, apart from each other, and the same name must come out as the same row.

use std::fmt;

use jiff::civil;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Longest name of an account, in characters.
pub const MAX_ACCOUNT: usize = 250;

/// A calendar date, `YYYY-MM-DD`, from 0001-01-01 to 9999-12-31. Sorts and compares as its text does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date([u8; 10]);

impl Date {
    /// Stands for a date that could not be read; no text parses to it.
    pub const UNKNOWN: Self = Self(*b"0000-00-00");

    /// Reads ISO 8601's extended format, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 10] = text.as_bytes().try_into().ok()?;
        let digit = |i: usize| bytes[i].is_ascii_digit().then(|| i16::from(bytes[i] - b'0'));
        let two = |i: usize| Some(digit(i)? * 10 + digit(i + 1)?);
        let year = two(0)? * 100 + two(2)?;
        let month = i8::try_from(two(5)?).ok()?;
        let day = i8::try_from(two(8)?).ok()?;
        if bytes[4] != b'-' || bytes[7] != b'-' || year == 0 {
            return None;
        }
        civil::Date::new(year, month, day).ok()?;
        Some(Self(bytes))
    }

    /// The day before; none before 0001-01-01.
    pub fn yesterday(&self) -> Option<Self> {
        let date: civil::Date = self.as_str().parse().ok()?;
        Self::parse(&date.yesterday().ok()?.to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only digits and dashes were let in")
    }

    /// The year.
    pub fn year(&self) -> i64 {
        self.0[..4].iter().fold(0, |year, b| year * 10 + i64::from(b - b'0'))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The five kinds of account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What one has.
    Asset,
    /// What one owes.
    Liability,
    /// What belongs to the owners.
    Equity,
    /// What comes in.
    Income,
    /// What goes out.
    Expense,
}

impl Kind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Liability => "liability",
            Self::Equity => "equity",
            Self::Income => "income",
            Self::Expense => "expense",
        }
    }

    /// Reads what [`Kind::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Asset, Self::Liability, Self::Equity, Self::Income, Self::Expense]
            .into_iter()
            .find(|k| k.as_str() == text)
    }

    /// What the first segment of an account's name says, in the words plain-text accounting uses.
    pub fn guess(account: &str) -> Option<Self> {
        let first = account.split(':').next().unwrap_or_default();
        Some(match first.to_ascii_lowercase().as_str() {
            "asset" | "assets" => Self::Asset,
            "liability" | "liabilities" | "debts" => Self::Liability,
            "equity" | "capital" => Self::Equity,
            "income" | "revenue" | "revenues" => Self::Income,
            "expense" | "expenses" => Self::Expense,
            _ => return None,
        })
    }
}

/// What is wrong with the name of an account, if anything is.
pub fn account_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("the account is missing");
    }
    if name.chars().count() > MAX_ACCOUNT {
        return Some("an account's name has at most 250 characters");
    }
    if name.chars().any(char::is_control) {
        return Some("an account's name has no control characters or line breaks");
    }
    if name.split(':').any(|s| s.is_empty() || s.trim() != s) {
        return Some("segments of an account's name are separated by single colons, without blanks around them");
    }
    None
}

/// The id of an account: version 8 (RFC 9562 §5.8) out of SHA-256 over organisation and name. `attempt` counts accounts
/// that had the name before.
pub fn account_id(organization: Uuid, name: &str, attempt: u32) -> Uuid {
    let digest = Sha256::new()
        .chain_update(b"capital.account")
        .chain_update(organization.as_bytes())
        .chain_update(attempt.to_be_bytes())
        .chain_update(name.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Most characters of a key and of a value of the organisation's settings.
pub const MAX_SETTING: (usize, usize) = (100, 2_000);

/// What is wrong with the key of a setting of the organisation, if anything is: lower-case words with dots between them.
pub fn setting_fault(key: &str) -> Option<&'static str> {
    let word = |word: &str| {
        word.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let fits = key.len() <= MAX_SETTING.0 && key.contains('.') && key.split('.').all(word);
    (!fits).then_some("a key is lower-case words with dots between them, invoice.footer for instance")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_has_a_day_before() {
        let before = |text| Date::parse(text).and_then(|d| d.yesterday()).map(|d| d.to_string());
        assert_eq!(before("2024-03-01").as_deref(), Some("2024-02-29"));
        assert_eq!(before("2026-01-01").as_deref(), Some("2025-12-31"));
        assert_eq!(before("0001-01-01"), None);
    }

    #[test]
    fn keys_of_settings_are_dotted_words() {
        for key in ["invoice.footer", "entry.description.required", "a.b2_c"] {
            assert_eq!(setting_fault(key), None, "{key}");
        }
        for key in ["", "invoice", "Invoice.footer", "a..b", ".a", "a.", "a.2b", "a b.c", "ä.b"] {
            assert!(setting_fault(key).is_some(), "{key}");
        }
        assert!(setting_fault(&format!("a.{}", "b".repeat(200))).is_some());
    }

    #[test]
    fn the_same_name_is_the_same_account_of_one_organisation() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(account_id(a, "Assets:Bank", 0), account_id(a, "Assets:Bank", 0));
        assert_ne!(account_id(a, "Assets:Bank", 0), account_id(b, "Assets:Bank", 0));
        assert_ne!(account_id(a, "Assets:Bank", 0), account_id(a, "Assets:Bank", 1));
    }

    proptest! {
        #[test]
        fn no_text_panics(s in "\\PC*") {
            let _ = (Date::parse(&s).and_then(|d| d.yesterday()), account_fault(&s), setting_fault(&s), Kind::guess(&s));
        }
    }
}
