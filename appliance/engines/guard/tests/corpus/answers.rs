//! What we read is what tshark reads, but for differences that are listed with who is right.

use std::collections::{BTreeMap, BTreeSet};

use sent_guard::{app::App, meter::Limits};

use crate::{captures, flows};

/// Written by `tests/tshark/answers.py`: capture, kind, value.
const ANSWERS: &str = include_str!("../tshark/answers.tsv");
/// Capture, kind, value, whose (`ours`, `tshark`), who is right, and why.
const DIFFERENCES: &str = include_str!("../tshark/differences.tsv");

type Answer = (String, String, String);

fn ours() -> BTreeSet<Answer> {
    let mut answers = BTreeSet::new();
    for (name, file) in captures::all() {
        flows(&file, Limits::default(), |flow| {
            let Some(facts) = &flow.facts else { return };
            let mut add = |kind: &str, value: &str| answers.insert((name.clone(), kind.to_owned(), value.to_owned()));
            if let Some(tls) = &facts.tls {
                tls.sni.iter().for_each(|name| _ = add("sni", name));
                tls.alpn.iter().chain(&tls.alpn_chosen).for_each(|protocol| _ = add("alpn", protocol));
                let chains = tls.certificates.iter().chain(&tls.client_certificates);
                chains.for_each(|certificate| _ = add("certificate", &certificate.sha256));
                // The answers know no DTLS fingerprints.
                tls.ja4.iter().filter(|ja4| !ja4.starts_with('d')).for_each(|ja4| _ = add("ja4", ja4));
            }
            if flow.app != Some(App::Netbios) {
                let questions = facts.dns.iter().flat_map(|message| &message.questions);
                questions.for_each(|question| _ = add("dns", &question.name));
            }
        });
    }
    answers
}

#[test]
fn tshark_agrees_or_the_difference_is_listed() {
    let theirs: BTreeSet<Answer> = ANSWERS
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, '\t').map(str::to_owned);
            Some((parts.next()?, parts.next()?, parts.next()?))
        })
        .collect();
    let listed: BTreeMap<(Answer, String), String> = DIFFERENCES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let parts: Vec<_> = line.splitn(6, '\t').map(str::to_owned).collect();
            let [capture, kind, value, whose, right, why] = parts.try_into().ok()?;
            assert!(!why.is_empty(), "{capture}: why?");
            Some((((capture, kind, value), whose), right))
        })
        .collect();
    let ours = ours();
    let mut found = BTreeSet::new();
    found.extend(ours.difference(&theirs).map(|answer| (answer.clone(), "ours".to_owned())));
    found.extend(theirs.difference(&ours).map(|answer| (answer.clone(), "tshark".to_owned())));
    let known: BTreeSet<_> = listed.keys().cloned().collect();
    let unexplained: Vec<_> = found.difference(&known).collect();
    assert!(unexplained.is_empty(), "{} differences are not listed: {unexplained:#?}", unexplained.len());
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "these differences are no more: {gone:#?}");
    assert!(ours.intersection(&theirs).count() > 500);
}
