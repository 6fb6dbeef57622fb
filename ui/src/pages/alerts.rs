//! The box's alerts: acknowledge, silence, and what is silenced now.

use super::monitoring::Tabs;
use crate::{
    api::{self, Done, Failure, List, with_query},
    components::{
        Ago, Button, Card, Chip, Column, DataTable, Dialog, Empty, Field, Icon, Input, Kind, Pick, Row, Since, Slot,
        Tag, Tone, Toolbar, Until, loaded, status::sentence, use_toast,
    },
    data::{use_query, use_resource},
    format,
    route::Route,
};
use gloo_net::http::Method;
use sent_contract::{
    Uuid,
    pulse::{Alert, Rule, Silence},
};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for Alert {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// An alert's state as a tag.
pub fn state_tag(alert: &Alert) -> Html {
    let tone = match (alert.state.as_str(), alert.severity.as_str()) {
        ("firing" | "flapping", "bad") => Tone::Bad,
        ("firing" | "flapping", _) => Tone::Warn,
        ("resolved", _) => Tone::Ok,
        _ => Tone::Plain,
    };
    html! { <Tag {tone}>{ sentence(&alert.state) }</Tag> }
}

fn columns() -> Vec<Column<Alert>> {
    vec![
        Column::new("State", |alert: &Alert| alert.state.clone()).cell(state_tag).at(Slot::Value),
        Column::new("Alert", |alert: &Alert| alert.title.clone()).class("font-medium").at(Slot::Title),
        Column::new("Severity", |alert: &Alert| sentence(&alert.severity)).at(Slot::Detail),
        Column::new("Value", |alert: &Alert| alert.value.to_string())
            .num()
            .cell(|alert| html! { format::measure(alert.value, "") }),
        Column::new("Raised", |alert: &Alert| format::iso(alert.raised_at))
            .cell(|alert| html! { <Ago at={alert.raised_at} /> })
            .at(Slot::Meta),
        Column::new("Resolved", |alert: &Alert| alert.resolved_at.map(format::iso).unwrap_or_default())
            .cell(|alert| html! { <Ago at={alert.resolved_at} /> }),
        Column::new("Acknowledged by", |alert: &Alert| alert.acknowledged_by.clone().unwrap_or_default())
            .class("text-ink-2"),
        Column::new("Notified", |alert: &Alert| alert.notifications.join("; ")).class("text-ink-3"),
    ]
}

/// The page.
#[component]
pub fn Alerts() -> Html {
    let (query, set) = use_query();
    let state = match query.get("state") {
        "" => "open",
        state => state,
    }
    .to_owned();
    let asked = if state == "all" { String::new() } else { state.clone() };
    let alerts =
        use_resource::<List<Alert>>(Some(with_query("/api/pulse/alerts", &[("state", asked)])), &["pulse.alerts"]);
    let silences =
        use_resource::<List<Silence>>(Some("/api/pulse/silences".into()), &["pulse.alerts", "table:silences"]);
    let rules = use_resource::<List<Rule>>(Some("/api/pulse/rules".into()), &["table:rules"]);
    let columns = use_memo((), |()| columns());
    let rows = use_memo(alerts.data.as_ref().map(|list| Rc::as_ptr(list) as usize), |_| {
        alerts.data.as_ref().map(|list| list.items.clone()).unwrap_or_default()
    });
    let open = use_state(|| None::<Rc<Alert>>);
    let silencing = use_state(|| None::<Option<Uuid>>);
    let on_open = {
        let open = open.setter();
        use_callback((), move |alert: Alert, ()| open.set(Some(Rc::new(alert))))
    };
    let close = {
        let open = open.setter();
        Callback::from(move |()| open.set(None))
    };
    let silence = {
        let (silencing, open) = (silencing.setter(), open.setter());
        Callback::from(move |rule: Option<Uuid>| {
            open.set(None);
            silencing.set(Some(rule));
        })
    };
    let stop = {
        let silencing = silencing.setter();
        Callback::from(move |()| silencing.set(None))
    };
    let chip = |value: &'static str, label: &'static str| {
        let set = set.clone();
        let next = if value == "open" { "" } else { value };
        html! { <Chip on={state == value} onclick={Callback::from(move |_: MouseEvent| set.emit(vec![("state", next.to_owned())]))}>{ label }</Chip> }
    };
    let reload = {
        let (alerts, silences) = (alerts.reload.clone(), silences.reload.clone());
        Callback::from(move |()| {
            alerts.emit(());
            silences.emit(());
        })
    };
    let actions = html! { <Button onclick={silence.reform(|_: MouseEvent| None)}>{ "Silence…" }</Button> };
    let known: Vec<Rule> = rules.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let empty = if state == "open" {
        html! { <Empty title="No open alerts" text="Everything that is watched is within its limits."><Link<Route> to={Route::Rules} classes="text-accent underline">{ "See the rules" }</Link<Route>></Empty> }
    } else {
        html! { <Empty title="No alerts" text="None in this state." /> }
    };
    html! {
        <>
            <Toolbar {actions}><Tabs />{ chip("open", "Open") }{ chip("resolved", "Resolved") }{ chip("all", "All") }</Toolbar>
            { loaded(&alerts, 6, |_| html! { <DataTable<Alert> {rows} {columns} name="Alerts" {on_open} {empty} /> }) }
            if let Some(list) = silences.data.as_ref().filter(|list| !list.items.is_empty()) {
                <div class="shrink-0">
                    <Card title="Silenced" pad=false>
                        <ul>{ for list.items.iter().map(|silence| html! { <Silenced silence={silence.clone()} rule={known.iter().find(|rule| Some(rule.id) == silence.rule).map(|rule| rule.name.clone())} reload={reload.clone()} /> }) }</ul>
                    </Card>
                </div>
            }
            if let Some(alert) = &*open {
                <Detail alert={alert.clone()} {silence} on_close={close} on_done={alerts.reload.clone()} />
            }
            if let Some(rule) = *silencing {
                <SilenceDialog {rule} rules={known} on_close={stop} on_done={reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct SilencedProps {
    silence: Silence,
    rule: Option<String>,
    reload: Callback<()>,
}

#[component]
fn Silenced(props: &SilencedProps) -> Html {
    let toast = use_toast();
    let silence = &props.silence;
    let end = {
        let (id, reload) = (silence.id, props.reload.clone());
        Callback::from(move |_: MouseEvent| {
            let (toast, reload) = (toast.clone(), reload.clone());
            wasm_bindgen_futures::spawn_local(async move {
                toast.tell(
                    &api::act::<Done>(Method::DELETE, &format!("/api/pulse/silences/{id}")).await,
                    "Silence ended",
                );
                reload.emit(());
            });
        })
    };
    let labels: Vec<String> = silence.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    html! {
        <li class="flex items-center gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
            <span class="min-w-0 flex-1 truncate"><b class="font-medium">{ props.rule.clone().unwrap_or_else(|| "All rules".to_owned()) }</b>{ " " }{ labels.join(", ") }<span class="text-ink-3">{ " · " }{ &silence.reason }</span></span>
            <span class="text-sm text-ink-3">{ "ends " }<Until at={silence.until} /></span>
            <Button kind={Kind::Ghost} class="px-1.5" label="End this silence" onclick={end}><Icon name="close" /></Button>
        </li>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    alert: Rc<Alert>,
    silence: Callback<Option<Uuid>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Detail(props: &DetailProps) -> Html {
    let toast = use_toast();
    let alert = &props.alert;
    let acknowledge = {
        let (id, on_close, on_done) = (alert.id, props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let (toast, on_close, on_done) = (toast.clone(), on_close.clone(), on_done.clone());
            wasm_bindgen_futures::spawn_local(async move {
                let answer = api::act::<Done>(Method::POST, &format!("/api/pulse/alerts/{id}/acknowledge")).await;
                toast.tell(&answer, "Acknowledged: nobody else is called");
                on_done.emit(());
                on_close.emit(());
            });
        })
    };
    let rule = alert.rule;
    let closed = matches!(alert.state.as_str(), "resolved" | "acknowledged");
    let footer = html! {
        <>
            <Button onclick={props.silence.reform(move |_: MouseEvent| Some(rule))}>{ "Silence…" }</Button>
            <Button kind={Kind::Primary} submit=true disabled={closed}>{ "Acknowledge" }</Button>
        </>
    };
    html! {
        <Dialog title={alert.title.clone()} on_close={props.on_close.clone()} on_submit={acknowledge} {footer}>
            <p class="mb-3 flex items-center gap-2">{ state_tag(alert) }<span class="text-ink-2">{ "since " }<Since at={alert.raised_at} /></span></p>
            <dl class="grid grid-cols-[8rem_minmax(0,1fr)] gap-y-1">
                <dt class="text-ink-3">{ "Value" }</dt><dd class="tabular-nums">{ format::measure(alert.value, "") }</dd>
                <dt class="text-ink-3">{ "Raised" }</dt><dd>{ format::absolute(alert.raised_at) }</dd>
                if let Some(at) = alert.resolved_at { <dt class="text-ink-3">{ "Resolved" }</dt><dd>{ format::absolute(at) }</dd> }
                if let Some(by) = &alert.acknowledged_by { <dt class="text-ink-3">{ "Acknowledged by" }</dt><dd>{ by }</dd> }
                <dt class="text-ink-3">{ "Notified" }</dt>
                <dd>if alert.notifications.is_empty() { { "nobody: the rule names no one" } } else { <ul>{ for alert.notifications.iter().map(|line| html! { <li>{ line }</li> }) }</ul> }</dd>
            </dl>
            <p class="mt-3"><a class="text-accent underline" href={format!("/monitoring/charts?series={}", api::escape(&alert.series))}>{ "See its chart" }</a></p>
        </Dialog>
    }
}

#[derive(Properties, PartialEq)]
struct SilenceProps {
    rule: Option<Uuid>,
    rules: Vec<Rule>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn SilenceDialog(props: &SilenceProps) -> Html {
    let toast = use_toast();
    let rule = use_state(|| props.rule.map(|id| id.to_string()).unwrap_or_default());
    let hours = use_state(|| "2".to_owned());
    let reason = use_state(String::new);
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let submit = {
        let (rule, hours, reason, busy, error) =
            (rule.clone(), hours.clone(), reason.clone(), busy.clone(), error.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let now = format::now();
            let body = Silence {
                id: Uuid::nil(),
                rule: rule.parse().ok(),
                labels: BTreeMap::new(),
                from: now,
                until: now + hours.parse::<i64>().unwrap_or(2) * 3_600_000_000,
                reason: reason.trim().to_owned(),
            };
            let (busy, error, toast, on_close, on_done) =
                (busy.clone(), error.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<Done>("/api/pulse/silences", &body).await {
                    Ok(_) => {
                        toast.ok("Silenced");
                        on_done.emit(());
                        on_close.emit(());
                    }
                    Err(failure) => {
                        error.set(Some(failure));
                        busy.set(false);
                    }
                }
            });
        })
    };
    let set = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let options = std::iter::once(("".into(), "All rules".into()))
        .chain(props.rules.iter().map(|rule| (rule.id.to_string().into(), rule.name.clone().into())))
        .collect::<Vec<_>>();
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy} disabled={reason.trim().is_empty()}>{ "Silence" }</Button>
        </>
    };
    html! {
        <Dialog title="Silence alerts" on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <p class="mb-3 text-ink-2">{ "Alerts are still raised and shown, but nobody is notified until it ends." }</p>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Rule" error={failure("rule")}><Pick value={(*rule).clone()} {options} on={set(&rule)} /></Field>
                <Field label="For" error={failure("until")}>
                    <Pick value={(*hours).clone()} on={set(&hours)} options={[("1", "1 hour"), ("2", "2 hours"), ("8", "8 hours"), ("24", "1 day"), ("168", "1 week")].map(|(value, label)| (value.into(), label.into())).to_vec()} />
                </Field>
                <Field label="Why" class="md:col-span-2" error={failure("reason")}><Input name="reason" autofocus=true value={(*reason).clone()} on={set(&reason)} placeholder="The provider works on the line" /></Field>
            </div>
            if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p>
            }
        </Dialog>
    }
}
