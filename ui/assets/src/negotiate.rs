//! Which of the encodings that we hold does the client accept (RFC 9110 §12.5.3)?

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Brotli, RFC 7932.
    Brotli,
    /// gzip, RFC 1952.
    Gzip,
    /// As it is.
    Identity,
}

impl Encoding {
    /// The value of `content-encoding`.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Encoding::Brotli => Some("br"),
            Encoding::Gzip => Some("gzip"),
            Encoding::Identity => None,
        }
    }

    /// What tells its entity tag from the others'.
    pub fn suffix(self) -> &'static str {
        match self {
            Encoding::Brotli => "-br",
            Encoding::Gzip => "-gz",
            Encoding::Identity => "",
        }
    }
}

/// Chooses among what is held: Brotli before gzip before nothing, because it is smaller and was paid for at build time; the
/// client's weights only say what it refuses.
pub fn choose(accepted: &str, brotli: bool, gzip: bool) -> Encoding {
    if brotli && accepts(accepted, &["br"]) {
        Encoding::Brotli
    } else if gzip && accepts(accepted, &["gzip", "x-gzip"]) {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// The coding is named with a weight above zero, or not named while `*` is.
fn accepts(accepted: &str, names: &[&str]) -> bool {
    let mut any = false;
    for one in accepted.split(',') {
        let mut parts = one.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let refused = parts
            .filter_map(|part| part.split_once('='))
            .any(|(name, value)| name.trim().eq_ignore_ascii_case("q") && value.trim().parse() == Ok(0.0_f32));
        if names.iter().any(|name| coding.eq_ignore_ascii_case(name)) {
            return !refused;
        }
        any |= coding == "*" && !refused;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_and_wildcards_are_honoured() {
        assert_eq!(choose("gzip, br", true, true), Encoding::Brotli);
        assert_eq!(choose("br;q=0, *", true, true), Encoding::Gzip);
        assert_eq!(choose("*;q=0", true, true), Encoding::Identity);
        assert_eq!(choose("BR ; Q=0.001", true, true), Encoding::Brotli);
        assert_eq!(choose("x-gzip", true, true), Encoding::Gzip);
        assert_eq!(choose("br", false, true), Encoding::Identity);
        assert_eq!(choose("", true, true), Encoding::Identity);
    }

    proptest! {
        #[test]
        fn only_what_is_held_is_chosen(accepted in any::<String>(), brotli: bool, gzip: bool) {
            match choose(&accepted, brotli, gzip) {
                Encoding::Brotli => prop_assert!(brotli),
                Encoding::Gzip => prop_assert!(gzip),
                Encoding::Identity => {}
            }
        }
    }
}
