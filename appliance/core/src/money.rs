//! Money is a decimal with a currency; a float never touches it.

pub use rust_decimal::Decimal;
use rust_decimal::prelude::*;

/// Decimal places of a currency (ISO 4217:2015, list one). Free codes (up to 24 characters) carry what is written.
pub fn places(currency: &str) -> Option<u32> {
    Some(match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        "AED" | "AUD" | "BGN" | "BRL" | "CAD" | "CHF" | "CNY" | "CZK" | "DKK" | "EUR" | "GBP" | "HKD" | "HUF"
        | "IDR" | "ILS" | "INR" | "MXN" | "MYR" | "NOK" | "NZD" | "PHP" | "PLN" | "RON" | "SAR" | "SEK" | "SGD"
        | "THB" | "TRY" | "TWD" | "UAH" | "USD" | "ZAR" => 2,
        _ => return None,
    })
}

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not of the form `-123.45`.
    #[error("\"{0}\" is not a decimal number like -1234.56")]
    Malformed(String),
    /// More than 28 digits.
    #[error("\"{0}\" has more than 28 digits")]
    TooLong(String),
}

/// Reads an amount: optional sign, digits, at most one point; no exponent, no thousands separators; at most 28 digits.
pub fn parse(text: &str) -> Result<Decimal, AmountError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(AmountError::Malformed(text.to_owned()));
    }
    let significant = digits.bytes().filter(u8::is_ascii_digit).count() - leading_zeros(whole);
    if significant > 28 {
        return Err(AmountError::TooLong(text.to_owned()));
    }
    Decimal::from_str_exact(text.strip_prefix('+').unwrap_or(text)).map_err(|_| AmountError::TooLong(text.to_owned()))
}

fn leading_zeros(whole: &str) -> usize {
    whole.bytes().take_while(|b| *b == b'0').count()
}

/// Rounds half away from zero to the currency's places, as tax offices and banks do; free codes are left alone.
pub fn round(amount: Decimal, currency: &str) -> Decimal {
    match places(currency) {
        Some(p) => amount.round_dp_with_strategy(p, RoundingStrategy::MidpointAwayFromZero),
        None => amount,
    }
}

/// Whether a text can be a currency or commodity code: 1 to 24 characters of letters, digits, `.`, `_`, `-`, `'`, starting with a letter.
pub fn is_code(code: &str) -> bool {
    let mut chars = code.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && code.len() <= 24
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '\''))
}

/// An exact sum of amounts. [`Decimal`]'s own addition rounds as soon as both sides together need more than 28 digits
/// (10²⁷ + 0.01 is 10²⁷), so a ledger that used it could call an entry balanced that is not.
///
/// Whole and fractional parts are kept apart as 128-bit integers, the fraction in units of 10⁻²⁸: every [`Decimal`] fits
/// without loss, in any order, and the sum of at least 10⁹ of the largest ones too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    whole: i128,
    fraction: i128,
    /// Decimal places of the most precise amount so far: what the sum is written with.
    places: u32,
}

/// A sum that is larger than what can be kept or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sum has more than 28 digits")]
pub struct Overflow;

/// Fractions are counted in units of one over this: 28 is the most places a [`Decimal`] has.
const FRACTION: i128 = 10i128.pow(28);

impl Sum {
    /// Adds an amount.
    pub fn add(&mut self, amount: Decimal) -> Result<(), Overflow> {
        let (mantissa, scale) = (amount.mantissa(), amount.scale());
        let (whole, part) = match (i64::try_from(mantissa), 10i64.checked_pow(scale)) {
            // Nearly every amount: 64-bit division is several times quicker than 128-bit.
            (Ok(m), Some(unit)) => (i128::from(m / unit), i128::from(m % unit)),
            _ => (mantissa / 10i128.pow(scale), mantissa % 10i128.pow(scale)),
        };
        self.whole = self.whole.checked_add(whole).ok_or(Overflow)?;
        self.fraction = self.fraction.checked_add(part * 10i128.pow(28 - scale)).ok_or(Overflow)?;
        self.places = self.places.max(scale);
        Ok(())
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) -> Result<(), Overflow> {
        self.whole = self.whole.checked_add(other.whole).ok_or(Overflow)?;
        self.fraction = self.fraction.checked_add(other.fraction).ok_or(Overflow)?;
        self.places = self.places.max(other.places);
        Ok(())
    }

    /// The sum with the other sign.
    pub fn negated(self) -> Self {
        Self { whole: -self.whole, fraction: -self.fraction, places: self.places }
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        let (whole, fraction) = self.parts();
        if whole != 0 { whole.signum() as i32 } else { fraction.signum() as i32 }
    }

    /// Whether it is nothing, exactly.
    pub fn is_zero(&self) -> bool {
        self.parts() == (0, 0)
    }

    /// The sum as a [`Decimal`], if it can be written as one without loss.
    pub fn decimal(&self) -> Result<Decimal, Overflow> {
        let (whole, fraction) = self.parts();
        let mut places = self.places;
        loop {
            // Exact, because no amount had more places than `self.places`, and below only zeros are dropped.
            let units = fraction / 10i128.pow(28 - places);
            let mantissa = whole.checked_mul(10i128.pow(places)).and_then(|m| m.checked_add(units));
            if let Some(decimal) = mantissa.and_then(|m| Decimal::try_from_i128_with_scale(m, places).ok()) {
                return Ok(decimal);
            }
            if places == 0 || units % 10 != 0 {
                return Err(Overflow);
            }
            places -= 1;
        }
    }

    /// Both parts with one sign and the fraction below one.
    fn parts(&self) -> (i128, i128) {
        let mut whole = self.whole.saturating_add(self.fraction / FRACTION);
        let mut fraction = self.fraction % FRACTION;
        if whole > 0 && fraction < 0 {
            whole -= 1;
            fraction += FRACTION;
        } else if whole < 0 && fraction > 0 {
            whole += 1;
            fraction -= FRACTION;
        }
        (whole, fraction)
    }
}

impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Sum {}

/// A plain decimal number with as many places as the most precise amount had; never rounded, however long.
impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, fraction) = self.parts();
        let sign = if whole < 0 || fraction < 0 { "-" } else { "" };
        write!(f, "{sign}{}", whole.unsigned_abs())?;
        if self.places > 0 {
            let units = fraction.unsigned_abs() / 10u128.pow(28 - self.places);
            write!(f, ".{units:0width$}", width = self.places as usize)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_refuses() {
        assert_eq!(parse("-12.50"), Ok(Decimal::new(-1250, 2)));
        assert_eq!(parse("+7"), Ok(Decimal::from(7)));
        for bad in ["", "-", "1,000.00", "1e5", ".5", "5.", "0x1", "1.2.3", "NaN", " 1", "١"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("9999999999999999999999999999").is_ok());
        assert!(matches!(parse("12345678901234567890123456789"), Err(AmountError::TooLong(_))));
    }

    #[test]
    fn sums_lose_nothing() {
        let huge = parse("9999999999999999999999999999").expect("28 digits");
        let mut sum = Sum::default();
        for d in [huge, Decimal::new(1, 2), -huge] {
            sum.add(d).expect("fits");
        }
        assert_eq!(sum.to_string(), "0.01");
        assert_eq!(sum.decimal(), Ok(Decimal::new(1, 2)));
        sum.add(Decimal::new(-2, 2)).expect("fits");
        assert_eq!((sum.to_string().as_str(), sum.signum(), sum.is_zero()), ("-0.01", -1, false));
        for _ in 0..9 {
            sum.add(huge).expect("fits");
        }
        assert_eq!(sum.to_string(), "89999999999999999999999999990.99");
        assert_eq!(sum.decimal(), Err(Overflow));
    }

    proptest! {
        #[test]
        fn never_panics(s in "\\PC*") {
            let _ = parse(&s);
        }

        #[test]
        fn round_trips(m in -79_228_162_514_264_337_593_543_950i128..79_228_162_514_264_337_593_543_950i128, scale in 0u32..=18) {
            let d = Decimal::from_i128_with_scale(m, scale);
            if let Ok(back) = parse(&d.to_string()) {
                prop_assert_eq!(back, d);
            }
        }

        #[test]
        fn a_sum_and_its_negation_cancel(amounts in proptest::collection::vec((any::<i64>(), 0u32..=28), 0..40)) {
            let amounts: Vec<Decimal> = amounts.into_iter().map(|(m, s)| Decimal::from_i128_with_scale(m.into(), s)).collect();
            let mut forward = Sum::default();
            for d in &amounts {
                forward.add(*d).expect("fits");
            }
            let mut backward = Sum::default();
            for d in amounts.iter().rev() {
                backward.add(-*d).expect("fits");
            }
            prop_assert_eq!(forward, backward.negated());
            forward.merge(&backward).expect("fits");
            prop_assert!(forward.is_zero());
        }

        #[test]
        fn small_sums_agree_with_decimal(amounts in proptest::collection::vec((-1_000_000_000i64..1_000_000_000, 0u32..=4), 1..40)) {
            let mut sum = Sum::default();
            let mut plain = Decimal::ZERO;
            for (m, s) in amounts {
                sum.add(Decimal::new(m, s)).expect("fits");
                plain += Decimal::new(m, s);
            }
            prop_assert_eq!(sum.decimal(), Ok(plain));
            prop_assert_eq!(parse(&sum.to_string()), Ok(plain));
        }
    }
}
