//! Certificates that servers showed, the first to end first.

use super::guard::{NotCaptured, Tabs, deaf, use_status};
use crate::{
    api::List,
    components::{
        Ago, Button, Column, DataTable, Dialog, Empty, Row, Search, Slot, StateChips, Tag, Tone, Toolbar, Until,
        list::state_of, listed, status::sentence, use_now, use_opened, use_rows, use_search,
    },
    data::{use_query, use_resource},
    format,
};
use sent_contract::{Micros, guard::Certificate};
use std::rc::Rc;
use yew::prelude::*;

/// So long before its end a certificate is marked.
const SOON: Micros = 14 * 86_400_000_000;

impl Row for Certificate {
    fn key(&self) -> String {
        format!("{} {} {}", self.server, self.port, self.sha256)
    }
}

/// What is wrong with it, in a word each.
fn marks(certificate: &Certificate, now: Micros) -> Vec<(Tone, &'static str)> {
    let faults = [
        (certificate.not_after <= now, Tone::Bad, "Expired"),
        (certificate.not_after > now && certificate.not_after - now < SOON, Tone::Warn, "Ends soon"),
        (certificate.not_before > now, Tone::Warn, "Not good yet"),
        (!certificate.weak.is_empty(), Tone::Bad, "Weak"),
        (certificate.self_signed, Tone::Warn, "Self-signed"),
    ];
    faults.into_iter().filter(|(is, ..)| *is).map(|(_, tone, word)| (tone, word)).collect()
}

fn tags(certificate: &Certificate, now: Micros) -> Html {
    let marks = marks(certificate, now);
    if marks.is_empty() {
        return html! { <Tag tone={Tone::Ok}>{ "Good" }</Tag> };
    }
    html! { <span class="inline-flex gap-1">{ for marks.into_iter().map(|(tone, word)| html! { <Tag {tone}>{ word }</Tag> }) }</span> }
}

/// Who shows it.
fn server(certificate: &Certificate) -> String {
    let host = certificate.name.as_ref().unwrap_or(&certificate.server);
    if host.contains(':') { format!("[{host}]:{}", certificate.port) } else { format!("{host}:{}", certificate.port) }
}

/// The common name out of a distinguished name (RFC 4514), or all of it.
fn common(name: &str) -> &str {
    let parts = name.split(", ").flat_map(|part| part.split(','));
    parts.map(str::trim).find_map(|part| part.strip_prefix("CN=")).unwrap_or(name)
}

fn matches(certificate: &Certificate, text: &str, state: &str, now: Micros) -> bool {
    let of_state = match state {
        "faulty" => !marks(certificate, now).is_empty(),
        "own" => certificate.own,
        "foreign" => !certificate.own,
        _ => true,
    };
    let text = text.to_lowercase();
    let known = [&certificate.server, &certificate.subject, &certificate.issuer].into_iter();
    let mut words = known.chain(&certificate.name).chain(&certificate.names);
    of_state && (text.is_empty() || words.any(|word| word.to_lowercase().contains(&text)))
}

fn columns(now: Micros) -> Vec<Column<Certificate>> {
    vec![
        Column::new("Server", server)
            .cell(|certificate| html! { <span title={certificate.server.clone()}>{ server(certificate) }</span> })
            .class("font-medium")
            .fill()
            .at(Slot::Title),
        Column::new("State", move |certificate: &Certificate| {
            marks(certificate, now).iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
        })
        .cell(move |certificate| tags(certificate, now))
        .at(Slot::Value),
        Column::new("Ends", |certificate: &Certificate| format::iso(certificate.not_after))
            .cell(|certificate| html! { <Until at={certificate.not_after} /> })
            .at(Slot::Meta),
        Column::new("For", |certificate: &Certificate| common(&certificate.subject).to_owned())
            .class("max-w-56! text-ink-2")
            .at(Slot::Detail),
        Column::new("Issued by", |certificate: &Certificate| common(&certificate.issuer).to_owned()).class("max-w-56! text-ink-2"),
        Column::new("Key", |certificate: &Certificate| certificate.key.clone()).class("text-ink-2"),
        Column::new("Whose", |certificate: &Certificate| whose(certificate).to_owned())
            .cell(|certificate| html! { <span class={if certificate.own { "" } else { "text-ink-3" }}>{ whose(certificate) }</span> }),
        Column::new("First seen", |certificate: &Certificate| format::iso(certificate.first_seen))
            .cell(|certificate| html! { <Ago at={certificate.first_seen} /> })
            .class("text-ink-3"),
    ]
}

fn whose(certificate: &Certificate) -> &'static str {
    if certificate.own { "Own" } else { "Foreign" }
}

/// The page.
#[component]
pub fn Certificates() -> Html {
    let (query, set) = use_query();
    let (typed, on_type) = use_search(&query, &set, "q");
    let (state, _) = state_of(&query, "all");
    let status = use_status();
    let list = use_resource::<List<Certificate>>(Some("/api/guard/certificates".into()), &["table:guard_certificates"]);
    // Marks change with the hour, not with every tick.
    let hour = use_now() / 3_600_000_000 * 3_600_000_000;
    let columns = use_memo(hour, |hour| columns(*hour));
    let rows = use_rows(&list, (typed.clone(), state.clone(), hour), |certificate, (text, state, now)| {
        matches(certificate, text, state, *now)
    });
    let opened = use_opened::<Certificate>();
    let clear = set.reform(|_: MouseEvent| vec![("q", String::new()), ("state", String::new())]);
    let empty = if query.any(&["q", "state"]) {
        html! { <Empty title="No certificate matches" text="Loosen the filter, or clear it."><Button onclick={clear}>{ "Clear filters" }</Button></Empty> }
    } else {
        html! { <Empty title="No certificates yet" text="Up to TLS 1.2 a server shows its certificate to everybody on the way, and it is listed here; since TLS 1.3 it is hidden." /> }
    };
    let none = list.data.as_ref().is_some_and(|list| list.items.is_empty());
    html! {
        <>
            <Toolbar views=true>
                <Tabs />
                <Search value={typed} placeholder="Server, name, issuer" on={on_type} />
                <StateChips {state} {set} options={vec![("all", "All"), ("faulty", "With a fault"), ("own", "Own"), ("foreign", "Foreign")]} />
            </Toolbar>
            if none && deaf(&status) {
                <NotCaptured />
            } else {
                { listed(&list, 10, |all| html! { <DataTable<Certificate> {rows} {columns} name="Certificates" total={all.items.len() as u64} on_open={opened.open.clone()} {empty} /> }) }
            }
            if let Some(certificate) = &opened.row { { detail(certificate, hour, &opened.close) } }
        </>
    }
}

fn detail(certificate: &Rc<Certificate>, now: Micros, close: &Callback<()>) -> Html {
    html! {
        <Dialog title="Certificate" on_close={close.clone()}>
            <h3 class="text-lg font-semibold break-words">{ server(certificate) }</h3>
            <p class="mt-1 mb-3 flex flex-wrap items-center gap-2">{ tags(certificate, now) }<span class="text-ink-2">{ if certificate.not_after > now { "ends " } else { "ended " } }<Until at={certificate.not_after} /></span></p>
            <dl class="grid grid-cols-[8rem_minmax(0,1fr)] gap-y-1 [&>dd]:break-words">
                <dt class="text-ink-3">{ "Shown by" }</dt><dd>{ format!("{}, port {}", certificate.server, certificate.port) }</dd>
                <dt class="text-ink-3">{ "Whose" }</dt><dd>{ if certificate.own { "a server of the office" } else { "a server outside" } }</dd>
                <dt class="text-ink-3">{ "For" }</dt><dd>{ &certificate.subject }</dd>
                <dt class="text-ink-3">{ "Names" }</dt><dd>{ if certificate.names.is_empty() { "none".to_owned() } else { certificate.names.join(", ") } }</dd>
                <dt class="text-ink-3">{ "Issued by" }</dt><dd>{ &certificate.issuer }{ if certificate.self_signed { ": it signs itself" } else { "" } }</dd>
                <dt class="text-ink-3">{ "Good from" }</dt><dd>{ format::absolute(certificate.not_before) }</dd>
                <dt class="text-ink-3">{ "Good until" }</dt><dd>{ format::absolute(certificate.not_after) }</dd>
                <dt class="text-ink-3">{ "Key" }</dt><dd>{ &certificate.key }</dd>
                <dt class="text-ink-3">{ "Signature" }</dt><dd>{ &certificate.signature }</dd>
                if !certificate.weak.is_empty() { <dt class="text-ink-3">{ "Weak" }</dt><dd class="text-bad-ink">{ sentence(&certificate.weak.join(", ")) }</dd> }
                <dt class="text-ink-3">{ "SHA-256" }</dt><dd class="font-mono text-sm break-all">{ &certificate.sha256 }</dd>
                <dt class="text-ink-3">{ "First seen" }</dt><dd><Ago at={certificate.first_seen} /></dd>
            </dl>
        </Dialog>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_after: Micros) -> Certificate {
        Certificate {
            server: "10.0.0.9".into(),
            port: 443,
            sha256: String::new(),
            name: Some("shop.example".into()),
            subject: "C=DE, O=Shop, CN=shop.example".into(),
            issuer: "CN=Some CA,O=Somebody".into(),
            names: vec!["www.shop.example".into()],
            not_before: 0,
            not_after,
            key: "RSA 2048".into(),
            signature: "sha256".into(),
            self_signed: false,
            weak: Vec::new(),
            own: false,
            first_seen: 0,
        }
    }

    #[test]
    fn a_certificate_is_marked_by_its_end_and_its_faults() {
        let words = |certificate: &Certificate, now| {
            marks(certificate, now).into_iter().map(|(_, word)| word).collect::<Vec<_>>()
        };
        let mut one = certificate(2 * SOON);
        assert_eq!(words(&one, 0), Vec::<&str>::new());
        assert_eq!(words(&one, SOON + 1), ["Ends soon"]);
        assert_eq!(words(&one, 2 * SOON), ["Expired"]);
        assert_eq!(words(&one, -1), ["Not good yet"]);
        (one.self_signed, one.weak) = (true, vec!["RSA 1024".into()]);
        assert_eq!(words(&one, 0), ["Weak", "Self-signed"]);
        assert!(matches(&one, "WWW.shop", "faulty", 0) && !matches(&one, "", "own", 0));
    }

    #[test]
    fn a_common_name_is_found_wherever_it_stands() {
        assert_eq!(
            (common("C=DE, CN=a.example"), common("CN=b,O=c"), common("O=nobody")),
            ("a.example", "b", "O=nobody")
        );
        assert_eq!(server(&certificate(0)), "shop.example:443");
    }
}
