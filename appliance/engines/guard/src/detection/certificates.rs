//! Certificates that are over or will soon be, that sign themselves, or that are weak.
//!
//! The office's own servers are somebody's to mend, so all of it counts; of servers outside only what the visitor should
//! know: a certificate that has ended, or that signs itself. TLS 1.3 hides certificates: what is told is of older versions.

use super::{Detection, Found, Kind, SECOND, Severity, Talk};
use crate::{app::certificate::Certificate, packet::TCP, settings::Thresholds};

const DAY: i64 = 86_400;

pub(super) fn flow(talk: &Talk<'_>, thresholds: &Thresholds, found: &mut Found) {
    let tls = talk.flow.facts.as_ref().and_then(|facts| facts.tls.as_ref());
    let Some(certificate) = tls.and_then(|tls| tls.certificates.first()) else { return };
    // Every browser makes itself a certificate for DTLS (RFC 8827 §6.5).
    if talk.flow.key.protocol != TCP {
        return;
    }
    if certificate.subject.is_empty() && certificate.not_after == 0 {
        return;
    }
    let faults = faults(certificate, talk.flow.start / SECOND, thresholds.certificate_days, talk.to_inside);
    let Some(severity) = faults.iter().map(|(severity, _)| *severity).max() else { return };
    let words: Vec<&str> = faults.iter().map(|(_, words)| words.as_str()).collect();
    let whom = tls.and_then(|tls| tls.sni.clone()).unwrap_or_else(|| talk.whom());
    let title = format!("the certificate of {whom} {}", words.join(", "));
    let key = format!("{}:{}:{}", talk.destination, talk.port, certificate.sha256);
    found.push(
        Detection::new(Kind::Certificate, severity, key, title, (talk.flow.start, talk.flow.end))
            .fact("subject", &certificate.subject)
            .fact("issuer", &certificate.issuer)
            .fact("sha256", &certificate.sha256)
            .shown_by(talk),
    );
}

/// What is wrong with a certificate at `now`, seconds since 1970 UTC.
pub(crate) fn faults(certificate: &Certificate, now: i64, days: u32, own: bool) -> Vec<(Severity, String)> {
    let mut faults = Vec::new();
    let left = certificate.not_after.saturating_sub(now);
    let ended = left.unsigned_abs() / DAY.unsigned_abs();
    if left < 0 {
        faults.push((if own { Severity::Medium } else { Severity::Low }, format!("ended {ended} days ago")));
    } else if own && left < i64::from(days) * DAY {
        faults.push((Severity::Low, format!("ends in {ended} days")));
    }
    if certificate.not_before > now {
        faults.push((Severity::Low, "is not good yet".to_owned()));
    }
    if certificate.self_signed {
        faults.push((Severity::Low, "signs itself".to_owned()));
    }
    if own {
        faults.extend(certificate.weak.iter().map(|weak| (Severity::Medium, format!("is weak: {weak}"))));
    }
    faults
}
