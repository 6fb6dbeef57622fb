//! The nouns and rules of double-entry bookkeeping: pure, no IO, no clock.
//!
//! An entry is a list of postings. [`complete`] turns what somebody wrote into the legs that are kept, so that
//! * the legs of every currency add up to zero, exactly: where an entry spans currencies, the system adds a leg in
//!   `Equity:Trading:CODE` for each of them (P. Selinger, "Tutorial on multiple currency accounting");
//! * where a currency's rate to the base currency is known, all of its legs carry an amount in base currency, and those
//!   add up to zero as well. A rate comes from the rate table; where the table has none, the entry itself implies one if it
//!   exchanges exactly one currency against the base currency.
//!
//! Because the legs of one currency share one rate and add up to zero, their base amounts add up to zero but for rounding.
//! What rounding leaves goes to the trading leg if there is one, otherwise to the largest leg of that currency, where it is
//! the smallest part of the whole.

use rust_decimal::{Decimal, RoundingStrategy};
pub use sent_core::chart::{Date, Kind, MAX_ACCOUNT, account_fault, account_id};
use sent_core::money::{self, AmountError, Overflow, Sum};

/// Where the system books exchanges between currencies; the currency's code follows as last segment.
pub const TRADING: &str = "Equity:Trading";
/// Series of entries that name none.
pub const DEFAULT_SERIES: &str = "JE";
/// Series of imported entries.
pub const IMPORT_SERIES: &str = "IM";
/// Most lines of one entry: keeps one transaction well below what the wire takes at a time.
pub const MAX_LINES: usize = 2_000;
/// Longest description or note, in characters.
pub const MAX_TEXT: usize = 1_000;
/// Places of amounts in base currency when that is a free code, which has no places of its own.
const FREE_BASE_PLACES: u32 = 8;

/// What is wrong with a description or note, if anything is.
pub fn text_fault(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some("control characters and line breaks cannot stand here (is a quote not closed?)");
    }
    // Bytes bound characters from above, so that counting is rarely needed.
    if text.len() > MAX_TEXT && text.chars().count() > MAX_TEXT {
        return Some("at most 1,000 characters");
    }
    None
}

/// The account the system books exchanges of a currency on.
pub fn trading_account(currency: &str) -> String {
    format!("{TRADING}:{currency}")
}

/// Whether a text can be the code of a series: one to eight capital letters or digits.
pub fn is_series(code: &str) -> bool {
    (1..=8).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// The series a box counts while it was restored and has not heard yet what the cloud has beyond the backup: numbers of the
/// series itself may have been given out before. `JE` is `JE.3KXRWD` then, `3KXRWD` being the mark of this one restore.
pub fn series_in(series: &str, mark: Option<&str>) -> String {
    let own = own_series(series);
    mark.map_or_else(|| own.to_owned(), |mark| format!("{own}.{mark}"))
}

/// The series somebody asked for, of one that [`series_in`] gave: codes have no dot.
pub fn own_series(series: &str) -> &str {
    series.split_once('.').map_or(series, |(own, _)| own)
}

/// The short form of a branch's name that stands in numbers: initials, or the first two letters of a single word.
/// "Hamburg Süd" is `HS`, "Berlin" is `BE`.
pub fn branch_tag(name: &str) -> String {
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let letters: String = match words.as_slice() {
        [word] => word.chars().take(2).collect(),
        words => words.iter().filter_map(|w| w.chars().next()).take(4).collect(),
    };
    letters.to_uppercase()
}

/// What stands before the sequence in a number: `JE-HS-2026-`.
pub fn number_prefix(series: &str, tag: &str, year: i64) -> String {
    if tag.is_empty() { format!("{series}-{year:04}-") } else { format!("{series}-{tag}-{year:04}-") }
}

/// Reads an amount (see [`money::parse`]); zero has no sign.
pub fn amount(text: &str) -> Result<Decimal, AmountError> {
    money::parse(text).map(unsigned_zero)
}

/// Whether an amount that came as a [`Decimal`] has at most 28 digits, as one that was read from text has.
pub fn has_28_digits(amount: Decimal) -> bool {
    amount.mantissa().unsigned_abs() < 10u128.pow(28)
}

fn unsigned_zero(amount: Decimal) -> Decimal {
    if amount.is_zero() { amount.abs() } else { amount }
}

/// A line as somebody wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// Signed amount, debit positive.
    pub amount: Decimal,
    /// Currency code.
    pub currency: &'a str,
}

/// A line as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leg<'a> {
    /// Which posting it is; `None`: the system's, in `Equity:Trading:CODE`.
    pub posting: Option<usize>,
    /// Signed amount.
    pub amount: Decimal,
    /// Currency.
    pub currency: &'a str,
    /// Amount in base currency, where a rate is known.
    pub base: Option<Decimal>,
}

/// Why postings are no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Imbalance {
    /// Fewer than two lines.
    #[error("an entry has at least two lines")]
    TooFew,
    /// More lines than one entry may have.
    #[error("an entry has at most 2,000 lines: split it")]
    TooMany,
    /// One currency does not add up, and no other currency stands against it.
    #[error("the {currency} lines add up to {by}, not to 0")]
    Unbalanced {
        /// Which currency.
        currency: String,
        /// By how much.
        by: String,
    },
    /// Several currencies are off on the same side, so nothing was exchanged.
    #[error("no currency stands against the others: {0} are all off on the same side")]
    OneSided(String),
    /// A sum or an amount in base currency has more digits than can be kept.
    #[error("a sum or an amount in base currency has more than 28 digits")]
    Overflow,
}

impl From<Overflow> for Imbalance {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// The lines of one currency.
struct Group<'a> {
    currency: &'a str,
    sum: Sum,
}

/// Makes the legs of an entry out of its postings (see the module's first lines). `rates` holds what one unit of a currency
/// is worth in base currency on the entry's date, as far as that is known. The legs replace what was in `legs`; those of
/// the postings come first, in their order.
pub fn complete<'a>(
    postings: &[Posting<'a>],
    base: &str,
    rates: &[(&str, Decimal)],
    legs: &mut Vec<Leg<'a>>,
) -> Result<(), Imbalance> {
    legs.clear();
    if postings.len() < 2 {
        return Err(Imbalance::TooFew);
    }
    if postings.len() > MAX_LINES {
        return Err(Imbalance::TooMany);
    }
    legs.extend(postings.iter().enumerate().map(|(n, p)| Leg {
        posting: Some(n),
        amount: p.amount,
        currency: p.currency,
        base: (p.currency == base).then_some(p.amount),
    }));
    if postings.iter().all(|p| p.currency == postings[0].currency) {
        // Nearly every entry: one currency, nothing to exchange.
        let mut sum = Sum::default();
        for p in postings {
            sum.add(p.amount)?;
        }
        if !sum.is_zero() {
            return Err(Imbalance::Unbalanced { currency: postings[0].currency.to_owned(), by: sum.to_string() });
        }
        value(postings[0].currency, base, rate_of(rates, postings[0].currency), legs)?;
        return refuse_long(legs);
    }
    let groups = groups(postings)?;
    let open: Vec<&Group<'_>> = groups.iter().filter(|g| !g.sum.is_zero()).collect();
    refuse_what_is_no_exchange(&open)?;
    for group in &open {
        let amount = group.sum.negated().decimal()?;
        legs.push(Leg {
            posting: None,
            amount,
            currency: group.currency,
            base: (group.currency == base).then_some(amount),
        });
    }
    for group in &groups {
        match rate_of(rates, group.currency) {
            Some(rate) => value(group.currency, base, Some(rate), legs)?,
            None => value_as_implied(group.currency, base, &open, legs)?,
        }
    }
    refuse_long(legs)
}

fn refuse_long(legs: &[Leg<'_>]) -> Result<(), Imbalance> {
    let fits = |leg: &Leg<'_>| has_28_digits(leg.amount) && leg.base.is_none_or(has_28_digits);
    if legs.iter().all(fits) { Ok(()) } else { Err(Imbalance::Overflow) }
}

/// The same legs with the other sign, base amounts included: together with the original they cancel in every currency, at
/// the rates of the original.
pub fn reversed(amount: Decimal, base: Option<Decimal>) -> (Decimal, Option<Decimal>) {
    (negated(amount), base.map(negated))
}

fn negated(amount: Decimal) -> Decimal {
    unsigned_zero(-amount)
}

fn groups<'a>(postings: &[Posting<'a>]) -> Result<Vec<Group<'a>>, Overflow> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for p in postings {
        let group = match groups.iter_mut().find(|g| g.currency == p.currency) {
            Some(group) => group,
            None => {
                groups.push(Group { currency: p.currency, sum: Sum::default() });
                groups.last_mut().expect("one was pushed just now")
            }
        };
        group.sum.add(p.amount)?;
    }
    Ok(groups)
}

fn refuse_what_is_no_exchange(open: &[&Group<'_>]) -> Result<(), Imbalance> {
    match open {
        [] => Ok(()),
        [one] => Err(Imbalance::Unbalanced { currency: one.currency.to_owned(), by: one.sum.to_string() }),
        [first, rest @ ..] if rest.iter().all(|g| g.sum.signum() == first.sum.signum()) => {
            Err(Imbalance::OneSided(open.iter().map(|g| g.currency).collect::<Vec<_>>().join(", ")))
        }
        _ => Ok(()),
    }
}

fn rate_of(rates: &[(&str, Decimal)], currency: &str) -> Option<Decimal> {
    rates.iter().find(|(c, _)| *c == currency).map(|(_, rate)| *rate)
}

/// Gives every leg of a currency its base amount at a known rate.
fn value(currency: &str, base: &str, rate: Option<Decimal>, legs: &mut [Leg<'_>]) -> Result<(), Imbalance> {
    let Some(rate) = rate.filter(|_| currency != base) else { return Ok(()) };
    for leg in legs.iter_mut().filter(|l| l.currency == currency) {
        leg.base = Some(rounded(leg.amount.checked_mul(rate).ok_or(Imbalance::Overflow)?, base));
    }
    settle_rounding(currency, legs)
}

/// Gives the legs of a currency their base amounts when the entry exchanges it, and nothing else, against the base currency.
fn value_as_implied(currency: &str, base: &str, open: &[&Group<'_>], legs: &mut [Leg<'_>]) -> Result<(), Imbalance> {
    let [a, b] = open else { return Ok(()) };
    let (own, counter) = if a.currency == currency { (a, b) } else { (b, a) };
    if own.currency != currency || counter.currency != base || currency == base {
        return Ok(());
    }
    let worth = counter.sum.negated().decimal()?;
    // A ratio beyond what a decimal holds is no rate anybody meant: the base amounts stay unknown.
    let Some(rate) = worth.checked_div(own.sum.decimal()?) else { return Ok(()) };
    let mut values = Vec::with_capacity(legs.len());
    for leg in legs.iter().filter(|l| l.currency == currency) {
        let Some(value) = leg.amount.checked_mul(rate) else { return Ok(()) };
        // The exchange itself is worth exactly what was given for it.
        values.push(if leg.posting.is_none() { negated(worth) } else { rounded(value, base) });
    }
    for (leg, value) in legs.iter_mut().filter(|l| l.currency == currency).zip(values) {
        leg.base = Some(value);
    }
    settle_implied(currency, legs)
}

fn rounded(amount: Decimal, base: &str) -> Decimal {
    let places = money::places(base).unwrap_or(FREE_BASE_PLACES);
    let amount = amount.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
    unsigned_zero(amount)
}

/// What rounding left goes to the trading leg, otherwise to the largest leg.
fn settle_rounding(currency: &str, legs: &mut [Leg<'_>]) -> Result<(), Imbalance> {
    settle(currency, legs, |leg| leg.posting.is_none())
}

/// The trading leg of an implied rate is exact already: what rounding left goes to the largest posting.
fn settle_implied(currency: &str, legs: &mut [Leg<'_>]) -> Result<(), Imbalance> {
    settle(currency, legs, |leg| leg.posting.is_some())
}

fn settle(currency: &str, legs: &mut [Leg<'_>], preferred: impl Fn(&Leg<'_>) -> bool) -> Result<(), Imbalance> {
    let mut left = Sum::default();
    let mut taker: Option<(bool, Decimal, usize)> = None;
    for (n, leg) in legs.iter().enumerate().filter(|(_, l)| l.currency == currency) {
        left.add(leg.base.unwrap_or_default())?;
        let candidate = (preferred(leg), leg.amount.abs(), n);
        if taker.is_none_or(|t| (candidate.0, candidate.1) > (t.0, t.1)) {
            taker = Some(candidate);
        }
    }
    if let (false, Some((_, _, n))) = (left.is_zero(), taker) {
        let mut corrected = left.negated();
        corrected.add(legs[n].base.unwrap_or_default())?;
        legs[n].base = Some(corrected.decimal()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        money::parse(text).expect("an amount")
    }

    fn legs<'a>(postings: &[(&str, &'a str)], rates: &[(&str, Decimal)]) -> Result<Vec<Leg<'a>>, Imbalance> {
        let postings: Vec<_> = postings.iter().map(|(a, c)| Posting { amount: d(a), currency: c }).collect();
        let mut legs = Vec::new();
        complete(&postings, "EUR", rates, &mut legs)?;
        Ok(legs)
    }

    fn bases(legs: &[Leg<'_>]) -> Vec<Option<String>> {
        legs.iter().map(|l| l.base.map(|b| b.normalize().to_string())).collect()
    }

    #[test]
    fn dates_are_strict() {
        assert_eq!(Date::parse("2024-02-29").map(|d| d.year()), Some(2024));
        for bad in [
            "2023-02-29",
            "2024-2-9",
            "2024-13-01",
            "2024-00-10",
            "0000-01-01",
            "20240229",
            "2024/02/29",
            "2024-02-29 ",
            "",
            "２024-1-1",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
        assert!(Date::parse("2024-02-29") < Date::parse("2024-03-01"));
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(account_fault("Assets:Bank:Girokonto Süd"), None);
        for bad in ["", ":", "Assets:", "Assets: Bank", "Assets::Bank", "Assets\nBank"] {
            assert!(account_fault(bad).is_some(), "{bad:?}");
        }
        assert_eq!(Kind::guess("Expenses:Rent"), Some(Kind::Expense));
        assert_eq!(Kind::guess("Bank"), None);
        assert_eq!(branch_tag("Hamburg Süd"), "HS");
        assert_eq!(branch_tag("Berlin"), "BE");
        assert_eq!(branch_tag("Østerbro"), "ØS");
        assert_eq!(branch_tag("—"), "");
        assert_eq!(number_prefix("JE", "HS", 2026), "JE-HS-2026-");
        assert_eq!(number_prefix("JE", "", 2026), "JE-2026-");
        assert_eq!(series_in("JE", Some("3KXRWD")), "JE.3KXRWD");
        assert_eq!(series_in("JE.3KXRWD", None), "JE");
        assert_eq!(own_series("JE.3KXRWD"), "JE");
        assert!(is_series("JE") && !is_series("je") && !is_series("") && !is_series("ABCDEFGHI"));
    }

    #[test]
    fn one_currency_needs_no_system_leg() {
        let legs = legs(&[("119", "EUR"), ("-100", "EUR"), ("-19.00", "EUR")], &[]).expect("balanced");
        assert_eq!(legs.len(), 3);
        assert_eq!(bases(&legs), [Some("119".into()), Some("-100".into()), Some("-19".into())]);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let unbalanced =
            |currency: &str, by: &str| Err(Imbalance::Unbalanced { currency: currency.into(), by: by.into() });
        assert_eq!(legs(&[("1", "EUR")], &[]), Err(Imbalance::TooFew));
        assert_eq!(legs(&[("1", "EUR"), ("-1.01", "EUR")], &[]), unbalanced("EUR", "-0.01"));
        assert_eq!(legs(&[("1", "EUR"), ("-1", "EUR"), ("5", "USD")], &[]), unbalanced("USD", "5"));
        assert_eq!(legs(&[("1", "EUR"), ("5", "USD")], &[]), Err(Imbalance::OneSided("EUR, USD".into())));
    }

    #[test]
    fn a_tiny_difference_beside_huge_amounts_is_seen() {
        let huge = "9999999999999999999999999999";
        let wrong = legs(&[(huge, "EUR"), ("0.01", "EUR"), (&format!("-{huge}"), "EUR")], &[]);
        assert_eq!(wrong, Err(Imbalance::Unbalanced { currency: "EUR".into(), by: "0.01".into() }));
        let right = legs(&[(huge, "EUR"), ("0.01", "EUR"), (&format!("-{huge}"), "EUR"), ("-0.01", "EUR")], &[]);
        assert!(right.is_ok());
    }

    #[test]
    fn an_exchange_implies_its_rate() {
        // 100 USD bought for 92.33 EUR, of which 33.33 went to one account and 66.67 to another.
        let legs = legs(&[("33.33", "USD"), ("66.67", "USD"), ("-92.33", "EUR")], &[]).expect("an exchange");
        let trading: Vec<_> =
            legs.iter().filter(|l| l.posting.is_none()).map(|l| (l.currency, l.amount.to_string())).collect();
        assert_eq!(trading, [("USD", "-100.00".to_owned()), ("EUR", "92.33".to_owned())]);
        let expected = ["30.77", "61.56", "-92.33", "-92.33", "92.33"].map(|b| Some(b.to_owned()));
        assert_eq!(bases(&legs), expected);
    }

    #[test]
    fn a_known_rate_wins_over_the_implied_one() {
        let legs = legs(&[("100", "USD"), ("-92", "EUR")], &[("USD", d("0.9"))]).expect("an exchange");
        let expected = ["90", "-92", "-90", "92"].map(|b| Some(b.to_owned()));
        assert_eq!(bases(&legs), expected);
    }

    #[test]
    fn without_any_rate_the_base_stays_unknown() {
        let legs = legs(&[("100", "USD"), ("-15000", "JPY")], &[("USD", d("0.9"))]).expect("an exchange");
        assert_eq!(bases(&legs), [Some("90".into()), None, Some("-90".into()), None]);
    }

    fn amount() -> impl Strategy<Value = Decimal> {
        prop_oneof![
            4 => (-10_000_000i64..10_000_000, 0u32..=4).prop_map(|(m, s)| Decimal::new(m, s)),
            1 => (-10i128.pow(28) + 1..10i128.pow(28), 0u32..=28).prop_map(|(m, s)| Decimal::from_i128_with_scale(m, s)),
        ]
    }

    proptest! {
        /// Whatever is accepted adds up to zero in every currency, and in base wherever all of a currency's legs have one.
        #[test]
        fn accepted_entries_balance(
            postings in proptest::collection::vec((amount(), 0usize..5), 0..12),
            close in proptest::collection::vec(any::<bool>(), 5),
            rates in proptest::collection::vec(proptest::option::of((1i64..3_000_000, 0u32..=6)), 5),
        ) {
            const CODES: [&str; 5] = ["EUR", "USD", "JPY", "KWD", "GOLD-BAR.999"];
            let mut postings: Vec<Posting<'_>> =
                postings.into_iter().map(|(amount, c)| Posting { amount, currency: CODES[c] }).collect();
            for (code, _) in CODES.iter().zip(&close).filter(|(_, c)| **c) {
                let mut sum = Sum::default();
                for p in postings.iter().filter(|p| p.currency == *code) {
                    sum.add(p.amount).expect("fits");
                }
                if let Ok(amount) = sum.negated().decimal() {
                    postings.push(Posting { amount, currency: code });
                }
            }
            let rates: Vec<(&str, Decimal)> = CODES.iter().zip(rates)
                .filter_map(|(c, r)| r.map(|(m, s)| (*c, Decimal::new(m, s)))).filter(|(c, _)| *c != "EUR").collect();
            let mut legs = Vec::new();
            match complete(&postings, "EUR", &rates, &mut legs) {
                Ok(()) => {
                    for code in CODES {
                        let mut amounts = Sum::default();
                        let mut bases = Sum::default();
                        let of_code: Vec<_> = legs.iter().filter(|l| l.currency == code).collect();
                        for leg in &of_code {
                            amounts.add(leg.amount).expect("fits");
                            bases.add(leg.base.unwrap_or_default()).expect("fits");
                        }
                        prop_assert!(amounts.is_zero(), "{code} is off by {amounts}");
                        prop_assert!(bases.is_zero(), "{code} is off by {bases} in base");
                        let known = of_code.iter().filter(|l| l.base.is_some()).count();
                        prop_assert!(known == 0 || known == of_code.len());
                        prop_assert!(!rates.iter().any(|(c, _)| *c == code) || known == of_code.len());
                    }
                    for (n, p) in postings.iter().enumerate() {
                        prop_assert_eq!((legs[n].posting, legs[n].amount), (Some(n), p.amount));
                    }
                }
                Err(Imbalance::TooFew) => prop_assert!(postings.len() < 2),
                Err(Imbalance::Unbalanced { currency, .. }) => {
                    let mut sum = Sum::default();
                    for p in postings.iter().filter(|p| p.currency == currency) {
                        sum.add(p.amount).expect("fits");
                    }
                    prop_assert!(!sum.is_zero());
                }
                Err(_) => {}
            }
        }

        #[test]
        fn texts_never_panic(s in "\\PC*") {
            let _ = (Date::parse(&s), account_fault(&s), text_fault(&s), branch_tag(&s), Kind::guess(&s));
        }
    }
}
