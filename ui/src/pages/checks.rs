//! What is checked: the list, and the form that makes or changes one.

use super::monitoring::{Tabs, check_target, check_word};
use crate::{
    api::List,
    components::{
        Ago, Button, Column, Confirm, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Pick, Row, Slot,
        StatusLine, Toggle, Toolbar, form::options, listed, status::sentence, use_flag, use_form, use_opened, use_rows,
        use_sending,
    },
    data::use_resource,
    format,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::pulse::{Check, CheckKind, NewCheck};
use std::rc::Rc;
use yew::prelude::*;

impl Row for Check {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<Check>> {
    vec![
        Column::new("Check", |check: &Check| check.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Kind", |check: &Check| check_word(&check.kind).into()),
        Column::new("Target", |check: &Check| check_target(&check.kind)).class("max-w-72! font-mono text-sm text-ink-2"),
        Column::new("Status and cause", |check: &Check| sentence(&check.status.cause)).cell(|check| html! { <StatusLine status={check.status.clone()} since=true /> }).fill().at(Slot::Detail),
        Column::new("Every", |check: &Check| check.interval.to_string()).num().cell(|check| html! { format::duration(i64::from(check.interval) * 1_000_000) }),
        Column::new("Latency", |check: &Check| check.latency_ms.map(|ms| ms.to_string()).unwrap_or_default())
            .num()
            .cell(|check| html! { check.latency_ms.map_or_else(|| "—".to_owned(), |ms| format::measure(ms / 1000.0, "seconds")) })
            .at(Slot::Value),
        Column::new("Last run", |check: &Check| check.last_run.map(format::iso).unwrap_or_default()).cell(|check| html! { <Ago at={check.last_run} /> }).at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Checks() -> Html {
    let session = use_session();
    let may = session.may("pulse.check.write");
    let checks =
        use_resource::<List<Check>>(Some("/api/pulse/checks".into()), &["table:checks", "pulse.live", "pulse.alerts"]);
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&checks, (), |_, ()| true);
    let opened = use_opened::<Check>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New check" onclick={make.clone()} /> } };
    let empty = html! {
        <Empty title="No checks yet" text="A check asks something every minute: does it answer, how fast, until when is its certificate valid.">
            if may { <Button kind={Kind::Primary} onclick={make.reform(|_: MouseEvent| ())}>{ "New check" }</Button> }
        </Empty>
    };
    html! {
        <>
            <Toolbar {actions}><Tabs /></Toolbar>
            { listed(&checks, 8, |_| html! { <DataTable<Check> {rows} {columns} name="Checks" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making {
                <Editor check={None::<Rc<Check>>} on_close={made} on_done={checks.reload.clone()} />
            }
            if let Some(check) = &opened.row {
                <Editor check={Some(check.clone())} on_close={opened.close.clone()} on_done={checks.reload.clone()} />
            }
        </>
    }
}

/// The form's fields, all as text, whatever the kind needs of them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Form {
    name: String,
    kind: String,
    host: String,
    port: String,
    url: String,
    status: String,
    redirects: String,
    contains: String,
    version: String,
    user: String,
    auth_kind: String,
    auth_pass: String,
    privacy_kind: String,
    privacy_pass: String,
    broker: String,
    topic: String,
    interval: String,
    timeout: String,
    paused: bool,
}

impl Form {
    fn of(check: Option<&Check>) -> Self {
        let mut form = Form {
            kind: "ping".into(),
            version: "2c".into(),
            interval: "60".into(),
            timeout: "10".into(),
            ..Form::default()
        };
        let Some(check) = check else { return form };
        form.name.clone_from(&check.name);
        form.interval = check.interval.to_string();
        form.timeout = check.timeout.to_string();
        form.paused = check.paused;
        match check.kind.clone() {
            CheckKind::Ping { host } => (form.kind, form.host) = ("ping".into(), host),
            CheckKind::Tcp { host, port } => (form.kind, form.host, form.port) = ("tcp".into(), host, port.to_string()),
            CheckKind::Tls { host, port } => (form.kind, form.host, form.port) = ("tls".into(), host, port.to_string()),
            CheckKind::Http { url, status, contains, redirects } => {
                (form.kind, form.url) = ("http".into(), url);
                form.status = status.map(|status| status.to_string()).unwrap_or_default();
                form.contains = contains.unwrap_or_default();
                form.redirects = redirects.map(|redirects| redirects.to_string()).unwrap_or_default();
            }
            CheckKind::Snmp { host, port, version, user, auth, privacy } => {
                (form.kind, form.host, form.version, form.user) = ("snmp".into(), host, version, user);
                form.port = port.map(|port| port.to_string()).unwrap_or_default();
                (form.auth_kind, form.auth_pass) = auth.unwrap_or_default();
                (form.privacy_kind, form.privacy_pass) = privacy.unwrap_or_default();
            }
            CheckKind::Prometheus { url } => (form.kind, form.url) = ("prometheus".into(), url),
            CheckKind::Mqtt { broker, topic } => (form.kind, form.broker, form.topic) = ("mqtt".into(), broker, topic),
        }
        form
    }

    /// The request, or the field that is wrong and why.
    fn request(&self) -> Result<NewCheck, (&'static str, String)> {
        fn need(field: &'static str, text: &str) -> Result<String, (&'static str, String)> {
            let text = text.trim();
            if text.is_empty() { Err((field, "is needed".to_owned())) } else { Ok(text.to_owned()) }
        }
        fn number<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<Option<T>, (&'static str, String)> {
            let text = text.trim();
            if text.is_empty() {
                Ok(None)
            } else {
                text.parse().map(Some).map_err(|_| (field, "not a number in range".to_owned()))
            }
        }
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let pair =
            |kind: &str, pass: &str| (!kind.is_empty() && !pass.is_empty()).then(|| (kind.to_owned(), pass.to_owned()));
        let port = |missing: &'static str| number("port", &self.port)?.ok_or(("port", missing.to_owned()));
        let kind = match self.kind.as_str() {
            "tcp" => CheckKind::Tcp { host: need("host", &self.host)?, port: port("is needed")? },
            "tls" => {
                CheckKind::Tls { host: need("host", &self.host)?, port: number("port", &self.port)?.unwrap_or(443) }
            }
            "http" => CheckKind::Http {
                url: need("url", &self.url)?,
                status: number("status", &self.status)?,
                contains: some(&self.contains),
                redirects: number("redirects", &self.redirects)?,
            },
            "snmp" => CheckKind::Snmp {
                host: need("host", &self.host)?,
                port: number("port", &self.port)?,
                version: self.version.clone(),
                user: need("user", &self.user)?,
                auth: pair(&self.auth_kind, &self.auth_pass),
                privacy: pair(&self.privacy_kind, &self.privacy_pass),
            },
            "prometheus" => CheckKind::Prometheus { url: need("url", &self.url)? },
            "mqtt" => CheckKind::Mqtt { broker: need("broker", &self.broker)?, topic: need("topic", &self.topic)? },
            _ => CheckKind::Ping { host: need("host", &self.host)? },
        };
        let name = some(&self.name).unwrap_or_else(|| check_target(&kind));
        Ok(NewCheck {
            name,
            kind,
            interval: number("interval", &self.interval)?,
            timeout: number("timeout", &self.timeout)?,
            paused: self.paused,
        })
    }
}

/// What a check can be.
const KINDS: [(&str, &str); 7] = [
    ("ping", "Ping"),
    ("tcp", "TCP connection"),
    ("http", "HTTP page"),
    ("tls", "Certificate's end"),
    ("snmp", "SNMP device"),
    ("prometheus", "Prometheus exporter"),
    ("mqtt", "MQTT sensors"),
];

#[derive(Properties, PartialEq)]
struct EditorProps {
    check: Option<Rc<Check>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Editor(props: &EditorProps) -> Html {
    let form = use_form(|| Form::of(props.check.as_deref()));
    let wrong = use_state(|| None::<(&'static str, String)>);
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, ask, keep) = use_flag();
    let id = props.check.as_ref().map(|check| check.id);
    let path = id.map_or_else(|| "/api/pulse/checks".to_owned(), |id| format!("/api/pulse/checks/{id}"));

    let submit = {
        let (form, wrong, sending, path) = (form.clone(), wrong.clone(), sending.clone(), path.clone());
        Callback::from(move |()| match form.request() {
            Err(problem) => wrong.set(Some(problem)),
            Ok(body) => {
                wrong.set(None);
                if id.is_some() {
                    sending.send(Method::PUT, path.clone(), body, "Check changed");
                } else {
                    sending.send(Method::POST, path.clone(), body, "Check made; it runs at once");
                }
            }
        })
    };
    let run = {
        let (sending, path) = (sending.clone(), format!("{path}/run"));
        Callback::from(move |_: MouseEvent| sending.act(Method::POST, path.clone(), "Check runs now"))
    };
    if removing {
        let remove = {
            let sending = sending.clone();
            Callback::from(move |()| sending.act(Method::DELETE, path.clone(), "Check removed"))
        };
        return html! {
            <Confirm title="Remove the check" verb="Remove" busy={sending.busy} error={sending.error.clone()} on_confirm={remove} on_close={keep}>
                { "It is not run any more. Its measurements stay until their retention ends; rules on them go silent." }
            </Confirm>
        };
    }
    let failure = |field: &str| {
        let own = wrong.as_ref().filter(|(name, _)| *name == field).map(|(_, message)| message.clone());
        own.or_else(|| sending.field(field).or_else(|| sending.field(&format!("kind.{field}"))))
    };
    let text = |label: &'static str,
                field: &'static str,
                value: &str,
                hint: Option<&'static str>,
                change: fn(&mut Form, String)| {
        let secret = field.ends_with("_pass");
        html! {
            <Field {label} error={failure(field)} hint={hint.map(AttrValue::from)}>
                <Input name={field} kind={if secret { "password" } else { "text" }} complete={if secret { "new-password" } else { "off" }} value={value.to_owned()} on={form.on(change)} invalid={failure(field).is_some()} />
            </Field>
        }
    };
    let host = || text("Host", "host", &form.host, Some("Name or address"), |form, text| form.host = text);
    let port = |hint| text("Port", "port", &form.port, hint, |form, text| form.port = text);
    let choices = |options: &[&'static str]| -> Vec<(AttrValue, AttrValue)> {
        options
            .iter()
            .map(|value| (AttrValue::from(*value), AttrValue::from(if value.is_empty() { "none" } else { *value })))
            .collect()
    };
    let own = match form.kind.as_str() {
        "tcp" => html! { <>{ host() }{ port(None) }</> },
        "tls" => html! { <>{ host() }{ port(Some("443, if empty")) }</> },
        "http" => html! {
            <>
                <div class="md:col-span-2">{ text("Address", "url", &form.url, Some("https://shop.example/"), |form, text| form.url = text) }</div>
                { text("Expected status", "status", &form.status, Some("Any 2xx, if empty"), |form, text| form.status = text) }
                { text("The page must contain", "contains", &form.contains, None, |form, text| form.contains = text) }
                { text("Redirects to follow", "redirects", &form.redirects, Some("At most 10, if empty; 0: the redirect is the answer"), |form, text| form.redirects = text) }
            </>
        },
        "snmp" => html! {
            <>
                { host() }{ port(Some("161, if empty")) }
                <Field label="Version"><Pick value={form.version.clone()} on={form.on(|form, text| form.version = text)} options={options(&[("2c", "v2c"), ("3", "v3")])} /></Field>
                { text(if form.version == "3" { "User" } else { "Community" }, "user", &form.user, None, |form, text| form.user = text) }
                if form.version == "3" {
                    <Field label="Authentication"><Pick value={form.auth_kind.clone()} on={form.on(|form, text| form.auth_kind = text)} options={choices(&["", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"])} /></Field>
                    { text("Its pass phrase", "auth_pass", &form.auth_pass, Some("Never shown again"), |form, text| form.auth_pass = text) }
                    <Field label="Privacy"><Pick value={form.privacy_kind.clone()} on={form.on(|form, text| form.privacy_kind = text)} options={choices(&["", "des", "aes128", "aes192", "aes256"])} /></Field>
                    { text("Its pass phrase", "privacy_pass", &form.privacy_pass, Some("Never shown again"), |form, text| form.privacy_pass = text) }
                }
            </>
        },
        "prometheus" => {
            html! { <div class="md:col-span-2">{ text("Metrics page", "url", &form.url, Some("http://10.0.0.9:9100/metrics"), |form, text| form.url = text) }</div> }
        }
        "mqtt" => html! {
            <>
                { text("Broker", "broker", &form.broker, Some("mqtt://host:1883"), |form, text| form.broker = text) }
                { text("Topic filter", "topic", &form.topic, Some("sensors/+/temperature"), |form, text| form.topic = text) }
            </>
        },
        _ => html! { <div class="md:col-span-2">{ host() }</div> },
    };
    let extra = html! {
        if id.is_some() {
            <>
                <Button kind={Kind::Danger} onclick={ask.reform(|_: MouseEvent| ())}>{ "Remove…" }</Button>
                <Button onclick={run} busy={sending.busy}>{ "Run now" }</Button>
            </>
        }
    };
    html! {
        <FormDialog title={if id.is_some() { "Check" } else { "New check" }} verb={if id.is_some() { "Save" } else { "Make check" }} sending={sending.clone()}
            on_close={props.on_close.clone()} on_submit={submit} {extra}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Kind">
                    <Pick name="kind" value={form.kind.clone()} on={form.on(|form, text| form.kind = text)}
                        options={options(&KINDS)} />
                </Field>
                { text("Name", "name", &form.name, Some("As the target, if empty"), |form, text| form.name = text) }
                { own }
                { text("Every, seconds", "interval", &form.interval, None, |form, text| form.interval = text) }
                { text("Fails after, seconds", "timeout", &form.timeout, None, |form, text| form.timeout = text) }
                <Toggle checked={form.paused} on={form.on(|form, paused| form.paused = paused)} label="Paused" />
            </div>
        </FormDialog>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sent_contract::{Level, Status};

    #[test]
    fn a_check_comes_back_out_of_the_form_as_it_went_in() {
        let kinds = [
            CheckKind::Ping { host: "a".into() },
            CheckKind::Tcp { host: "a".into(), port: 22 },
            CheckKind::Tls { host: "a".into(), port: 443 },
            CheckKind::Http {
                url: "http://a".into(),
                status: Some(204),
                contains: Some("x".into()),
                redirects: Some(0),
            },
            CheckKind::Snmp {
                host: "a".into(),
                port: None,
                version: "3".into(),
                user: "u".into(),
                auth: Some(("sha256".into(), "p".into())),
                privacy: None,
            },
            CheckKind::Prometheus { url: "http://a/metrics".into() },
            CheckKind::Mqtt { broker: "mqtt://a".into(), topic: "t/#".into() },
        ];
        for kind in kinds {
            let check = Check {
                id: uuid::Uuid::nil(),
                name: "n".into(),
                kind: kind.clone(),
                interval: 30,
                timeout: 5,
                paused: true,
                status: Status { level: Level::Ok, cause: String::new(), since: 0 },
                last_run: None,
                latency_ms: None,
            };
            let request = Form::of(Some(&check)).request().expect("a stored check is valid");
            assert_eq!((request.kind, request.interval, request.paused), (kind, Some(30), true));
        }
    }

    #[test]
    fn the_wrong_field_is_named() {
        let form = Form { kind: "tcp".into(), host: "a".into(), port: "99999".into(), ..Form::default() };
        assert_eq!(form.request().expect_err("no such port").0, "port");
    }
}
