//! Passwords, one-time codes, secrets of sessions and tokens, and rights: pure, so that box and cloud agree on them.
//!
//! Nothing here stores anything. What is stored of a session, token or recovery code is its SHA-256 ([`digest`]); they are
//! long random texts, so a slow hash would add nothing.
//!
//! What is stored of a password is a *verifier*: the SHA-256 of a *key*, and the key is argon2id of the password and a salt.
//! Every box of an organisation has the verifiers of all its users, so that they can log in without the cloud. Whoever steals
//! one still cannot make the key of any, so the key proves to the cloud that a user was there and typed the password (the
//! same thought as SCRAM's StoredKey and ClientKey, RFC 5802 §3).

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use totp_rs::{Builder, Secret, Totp};

use crate::{Problem, Timestamp};

/// Shortest password that is accepted (NIST SP 800-63B §5.1.1.1 asks for 8; we ask for 10).
pub const PASSWORD_MIN: usize = 10;
/// Longest password: bounds the work of a hostile login.
pub const PASSWORD_MAX: usize = 256;
/// A session ends after so long without a request.
pub const SESSION_IDLE_SECONDS: i64 = 12 * 3600;
/// A session ends after so long in any case.
pub const SESSION_SECONDS: i64 = 7 * 24 * 3600;
/// How many recovery codes are made at a time.
pub const RECOVERY_CODES: usize = 10;

fn argon2() -> Argon2<'static> {
    // OWASP Password Storage Cheat Sheet: argon2id, m = 19 MiB, t = 2, p = 1.
    let params = Params::new(19 * 1024, 2, 1, None).expect("the parameters are within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Refuses a password that is too short or too long.
pub fn check_password_rules(password: &str) -> Result<(), Problem> {
    let n = password.chars().count();
    if n < PASSWORD_MIN {
        return Err(Problem::field("password", format!("use at least {PASSWORD_MIN} characters")));
    }
    if password.len() > PASSWORD_MAX {
        return Err(Problem::field("password", format!("use at most {PASSWORD_MAX} bytes")));
    }
    Ok(())
}

/// What a verifier begins with. No other parameters are ever worked through: a verifier may come from another machine, and
/// must not decide how much memory a login takes.
const VERIFIER: &str = "$argon2id-sha256$v=19$m=19456,t=2,p=1$";

type Salt = [u8; 16];

/// argon2id of a password.
fn key(password: &str, salt: &Salt) -> Result<[u8; 32], Problem> {
    let mut key = [0; 32];
    argon2().hash_password_into(password.as_bytes(), salt, &mut key).map_err(Problem::internal)?;
    Ok(key)
}

/// Makes a password's verifier: `$argon2id-sha256$v=19$m=19456,t=2,p=1$SALT$SHA256(KEY)`, both in hex. Takes about 20 ms of
/// CPU: call it off the async threads.
pub fn hash_password(password: &str) -> Result<String, Problem> {
    let salt: Salt = rand::random();
    let digest = Sha256::digest(key(password, &salt)?);
    Ok(format!("{VERIFIER}{}${}", HEXLOWER.encode(&salt), HEXLOWER.encode(&digest)))
}

/// The verifier of a password that follows another, of which `proof` is [`prove_password`]: `VERIFIER$PROOF`. It verifies like
/// any other; the cloud looks at the proof once and leaves it off.
pub fn succeed_password(password: &str, proof: &str) -> Result<String, Problem> {
    Ok(format!("{}${proof}", hash_password(password)?))
}

/// The key of a password in hex, if the password fits the verifier.
pub fn prove_password(password: &str, verifier: &str) -> Option<String> {
    let mut parts = verifier.strip_prefix(VERIFIER)?.split('$');
    let salt: Salt = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
    let digest = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?;
    if password.len() > PASSWORD_MAX {
        return None;
    }
    let key = key(password, &salt).ok()?;
    bool::from(Sha256::digest(key).as_slice().ct_eq(&digest)).then(|| HEXLOWER.encode(&key))
}

/// Whether the password fits the verifier. A broken verifier fits nothing.
pub fn verify_password(password: &str, verifier: &str) -> bool {
    prove_password(password, verifier).is_some()
}

/// Spends the time of a verification, for logins of users that do not exist.
pub fn verify_nobody(password: &str) {
    let _ = key(password.get(..PASSWORD_MAX).unwrap_or(password), &Salt::default());
}

/// A new random secret of 256 bits, URL-safe, with a prefix that secret scanners can find.
pub fn new_secret(prefix: &str) -> String {
    format!("{prefix}{}", BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>()))
}

/// What is stored of a secret: SHA-256, lower-case hex.
pub fn digest(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}

/// Whether two texts are equal, in time that depends on their lengths only.
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// A CSRF token that follows from the session's secret, so that it needs no storage.
pub fn csrf_token(session_secret: &str) -> String {
    digest(&format!("csrf:{session_secret}"))
}

/// Ten recovery codes of 80 random bits, in four groups of four letters.
pub fn recovery_codes() -> Vec<String> {
    (0..RECOVERY_CODES)
        .map(|_| {
            let text = BASE32_NOPAD.encode(&rand::random::<[u8; 10]>());
            [&text[0..4], &text[4..8], &text[8..12], &text[12..16]].join("-")
        })
        .collect()
}

/// A recovery code as typed, made canonical: upper case, no blanks or dashes.
pub fn canonical_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// A new TOTP secret in base32 (160 bits, RFC 4226 §4).
pub fn new_totp_secret() -> String {
    BASE32_NOPAD.encode(&rand::random::<[u8; 20]>())
}

fn totp(secret: &str, account: &str, issuer: &str) -> Result<Totp, Problem> {
    let secret = Secret::try_from_base32(secret).map_err(Problem::internal)?;
    // Both names stand in an otpauth:// label, where a colon separates them.
    Builder::new()
        .with_secret(secret)
        .with_account_name(account.replace(':', " "))
        .with_issuer(Some(issuer.replace(':', " ")))
        .build()
        .map_err(Problem::internal)
}

/// The `otpauth://` URL for an authenticator.
pub fn totp_url(secret: &str, account: &str, issuer: &str) -> Result<String, Problem> {
    totp(secret, account, issuer)?.to_url().map_err(Problem::internal)
}

/// Checks a six-digit code (RFC 6238, 30 s, one step either way). The answer is the step it belongs to: store it and refuse
/// a code of the same or an earlier step, so that a code counts once.
pub fn check_totp(secret: &str, code: &str, now: Timestamp) -> Option<u64> {
    let seconds = u64::try_from(now.0.div_euclid(1_000_000)).ok()?;
    totp(secret, "account", "SENT").ok()?.check(code.trim(), seconds)
}

/// Whether a text can be a right or a pattern of rights: lower-case words with dots between them, `*` alone or as the last.
pub fn is_right(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let words = text.strip_suffix(".*").unwrap_or(text);
    text.len() <= 100 && (text == "*" || words.split('.').all(word) && text.contains('.'))
}

/// Rights and patterns: `*`, `capital.*`, `capital.entry.post`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(pub Vec<String>);

impl Rights {
    /// Every right.
    pub fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// Whether one of the patterns covers the right.
    pub fn allow(&self, right: &str) -> bool {
        self.0.iter().any(|p| covers(p, right))
    }

    /// Whether everything `other` allows is allowed here too: a token may not exceed its owner.
    pub fn include(&self, other: &Self) -> bool {
        other.0.iter().all(|right| self.allow(right))
    }
}

fn covers(pattern: &str, right: &str) -> bool {
    pattern == "*"
        || pattern == right
        || pattern.strip_suffix(".*").is_some_and(|p| right.strip_prefix(p).is_some_and(|rest| rest.starts_with('.')))
}

/// The roles every organisation begins with: name and rights.
pub const BUILT_IN_ROLES: &[(&str, &[&str])] = &[
    ("owner", &["*"]),
    ("accountant", &["capital.*", "home.read", "sync.read", "audit.read"]),
    ("technician", &["guard.*", "pulse.*", "radar.*", "home.read", "sync.*", "audit.read", "settings.read"]),
    (
        "viewer",
        &["capital.account.read", "capital.entry.read", "capital.report.read", "pulse.read", "home.read", "sync.read"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rights_are_dotted_words() {
        for right in ["*", "capital.*", "capital.entry.post", "user.write", "fleet.box.*"] {
            assert!(is_right(right), "{right}");
        }
        for bad in ["", ".", "capital", "capital.", ".*", "*.*", "Capital.entry", "a.*.b", "a b.c", "a..b"] {
            assert!(!is_right(bad), "{bad}");
        }
    }

    #[test]
    fn passwords() {
        let hash = hash_password("correct horse battery").expect("hashes");
        assert!(hash.starts_with("$argon2id-sha256$v=19$m=19456,t=2,p=1$"));
        assert!(verify_password("correct horse battery", &hash));
        assert!(!verify_password("correct horse batterx", &hash));
        // Neither another cost nor the plain form: the memory a login takes is ours to say.
        for broken in ["not a hash".to_owned(), hash.replace("19456", "9999999"), hash.replace("-sha256", "")] {
            assert!(!verify_password("correct horse battery", &broken), "{broken}");
        }
        assert!(check_password_rules("short").is_err());
    }

    #[test]
    fn a_new_password_proves_the_one_before_and_a_verifier_proves_nothing() {
        let old = hash_password("correct horse battery").expect("hashes");
        assert_eq!(prove_password("correct horse batterx", &old), None);
        let proof = prove_password("correct horse battery", &old).expect("fits");
        assert!(!old.contains(&proof));
        let key = HEXLOWER.decode(proof.as_bytes()).expect("is hex");
        assert!(old.ends_with(&HEXLOWER.encode(&Sha256::digest(key))));
        let new = succeed_password("staple correct horse", &proof).expect("hashes");
        assert!(new.ends_with(&format!("${proof}")));
        assert!(verify_password("staple correct horse", &new) && !verify_password("correct horse battery", &new));
    }

    #[test]
    fn totp_follows_rfc_6238() {
        // RFC 6238 appendix B: secret "12345678901234567890", T = 59 s, eight digits 94287082, so six digits 287082.
        let secret = BASE32_NOPAD.encode(b"12345678901234567890");
        assert_eq!(check_totp(&secret, "287082", Timestamp(59_000_000)), Some(1));
        assert_eq!(check_totp(&secret, "287082", Timestamp(89_000_000)), Some(1));
        assert_eq!(check_totp(&secret, "287082", Timestamp(300_000_000)), None);
        assert!(totp_url(&secret, "a@b.c", "SENT: Northwind").expect("a url").starts_with("otpauth://totp/"));
    }

    #[test]
    fn rights_match_by_segment() {
        let r = Rights(vec!["capital.*".into(), "audit.read".into()]);
        assert!(r.allow("capital.entry.post"));
        assert!(!r.allow("capitalism.entry"));
        assert!(!r.allow("audit.write"));
        assert!(Rights::all().include(&r));
        assert!(!r.include(&Rights::all()));
        assert!(r.include(&Rights(vec!["capital.entry.*".into()])));
    }

    #[test]
    fn codes_and_secrets() {
        let codes = recovery_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert_eq!(canonical_code(&codes[0].to_lowercase()), codes[0].replace('-', ""));
        assert_ne!(new_secret("sent_"), new_secret("sent_"));
    }

    proptest! {
        #[test]
        fn hostile_input_never_panics(code in "\\PC*", phc in "\\PC*", secret in "[A-Z2-7]{0,40}") {
            let _ = check_totp(&secret, &code, Timestamp(1_000_000));
            let _ = verify_password(&code, &phc);
            let _ = verify_password(&code, &format!("{VERIFIER}{phc}"));
        }
    }
}
