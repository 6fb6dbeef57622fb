//! The box's alerts: acknowledge, silence, and what is silenced now.

use super::monitoring::Tabs;
use crate::{
    api::{self, List, with_query},
    components::{
        Ago, Button, Card, Column, Confirm, DataTable, Dialog, Empty, Field, FormDialog, Icon, Input, Kind, Pick,
        Refusal, Row, Since, Slot, StateChips, Tag, Tone, Toolbar, Until, form::options, list::state_of, listed,
        status::sentence, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::{use_query, use_resource},
    format,
    route::Route,
    session::use_session,
    words,
};
use gloo_net::http::Method;
use sent_contract::{
    Uuid,
    pulse::{Alert, Rule, Series, Silence},
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

/// Units of the series that alerts are about, by series.
type Units = Rc<BTreeMap<String, String>>;

/// An alert's value with the unit of its series, where that is known.
fn value(alert: &Alert, units: &Units) -> String {
    format::measure(alert.value, units.get(&alert.series).map_or("", String::as_str))
}

/// A word, or a dash where there is none.
fn or_dash(text: String) -> Html {
    if text.is_empty() {
        html! { <span class="text-ink-3">{ "—" }</span> }
    } else {
        text.into()
    }
}

fn columns(units: Units) -> Vec<Column<Alert>> {
    vec![
        Column::new("State", |alert: &Alert| alert.state.clone()).cell(state_tag).at(Slot::Value),
        Column::new("Alert", |alert: &Alert| alert.title.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Severity", |alert: &Alert| words::severity(&alert.severity)).at(Slot::Detail),
        Column::new("Value", |alert: &Alert| alert.value.to_string())
            .num()
            .cell(move |alert| value(alert, &units).into()),
        Column::new("Raised", |alert: &Alert| format::iso(alert.raised_at))
            .cell(|alert| html! { <Ago at={alert.raised_at} /> })
            .at(Slot::Meta),
        Column::new("Resolved", |alert: &Alert| alert.resolved_at.map(format::iso).unwrap_or_default())
            .cell(|alert| html! { <Ago at={alert.resolved_at} /> }),
        Column::new("Acknowledged by", |alert: &Alert| alert.acknowledged_by.clone().unwrap_or_default())
            .cell(|alert| or_dash(alert.acknowledged_by.clone().unwrap_or_default()))
            .class("text-ink-2"),
        Column::new("Notified", |alert: &Alert| alert.notifications.join("; "))
            .cell(|alert| or_dash(alert.notifications.join("; ")))
            .class("max-w-64! text-ink-3"),
    ]
}

/// The page.
#[component]
pub fn Alerts() -> Html {
    let (query, set) = use_query();
    let session = use_session();
    let (may_silence, may_acknowledge) = (session.may("pulse.silence.write"), session.may("pulse.alert.acknowledge"));
    let (state, asked) = state_of(&query, "open");
    let alerts =
        use_resource::<List<Alert>>(Some(with_query("/api/pulse/alerts", &[("state", asked)])), &["pulse.alerts"]);
    let silences =
        use_resource::<List<Silence>>(Some("/api/pulse/silences".into()), &["pulse.alerts", "table:silences"]);
    let rules = use_resource::<List<Rule>>(Some("/api/pulse/rules".into()), &["table:rules"]);
    let series = use_resource::<List<Series>>(Some("/api/pulse/series".into()), &[]);
    let units: Units = use_memo(series.data.as_ref().map(|list| Rc::as_ptr(list) as usize), |_| {
        let known = series.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
        known.iter().map(|series| (series.id.clone(), series.unit.clone())).collect()
    });
    let columns = use_memo(units.clone(), |units| columns(units.clone()));
    let rows = use_rows(&alerts, (), |_, ()| true);
    let opened = use_opened::<Alert>();
    let silencing = use_state(|| None::<Option<Uuid>>);
    let silence = {
        let (silencing, close) = (silencing.setter(), opened.close.clone());
        Callback::from(move |rule: Option<Uuid>| {
            close.emit(());
            silencing.set(Some(rule));
        })
    };
    let stop = {
        let silencing = silencing.setter();
        Callback::from(move |()| silencing.set(None))
    };
    let reload = {
        let (alerts, silences) = (alerts.reload.clone(), silences.reload.clone());
        Callback::from(move |()| {
            alerts.emit(());
            silences.emit(());
        })
    };
    let actions =
        html! { if may_silence { <Button onclick={silence.reform(|_: MouseEvent| None)}>{ "Silence…" }</Button> } };
    let known: Vec<Rule> = rules.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let empty = if state == "open" {
        html! { <Empty title="No open alerts" text="Everything that is watched is within its limits."><Link<Route> to={Route::Rules} classes="text-accent underline">{ "See the rules" }</Link<Route>></Empty> }
    } else {
        html! { <Empty title="No alerts" text="None in this state." /> }
    };
    html! {
        <>
            <Toolbar {actions} views=true>
                <Tabs />
                <StateChips {state} {set} options={vec![("open", "Open"), ("resolved", "Resolved"), ("all", "All")]} />
            </Toolbar>
            { listed(&alerts, 6, |_| html! { <DataTable<Alert> {rows} {columns} name="Alerts" on_open={opened.open.clone()} {empty} /> }) }
            if let Some(list) = silences.data.as_ref().filter(|list| !list.items.is_empty()) {
                <div class="shrink-0">
                    <Card title="Silenced" pad=false>
                        <ul>{ for list.items.iter().map(|silence| html! { <Silenced silence={silence.clone()} rule={known.iter().find(|rule| Some(rule.id) == silence.rule).map(|rule| rule.name.clone())} may={may_silence} reload={reload.clone()} /> }) }</ul>
                    </Card>
                </div>
            }
            if let Some(alert) = &opened.row {
                <Detail alert={alert.clone()} value={value(alert, &units)} {may_silence} {may_acknowledge} {silence} on_close={opened.close.clone()} on_done={alerts.reload.clone()} />
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
    may: bool,
    reload: Callback<()>,
}

#[component]
fn Silenced(props: &SilencedProps) -> Html {
    let silence = &props.silence;
    let sending = use_sending(&Callback::noop(), &props.reload);
    let (ending, ask, keep) = use_flag();
    let end = {
        let (sending, id, keep) = (sending.clone(), silence.id, keep.clone());
        Callback::from(move |()| {
            keep.emit(());
            sending.act(Method::DELETE, format!("/api/pulse/silences/{id}"), "Silence ended");
        })
    };
    let labels: Vec<String> = silence.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    html! {
        <li class="flex items-center gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
            <span class="min-w-0 flex-1 truncate"><b class="font-medium">{ props.rule.clone().unwrap_or_else(|| "All rules".to_owned()) }</b>{ " " }{ labels.join(", ") }<span class="text-ink-3">{ " · " }{ &silence.reason }</span></span>
            <span class="text-sm text-ink-3">{ "ends " }<Until at={silence.until} /></span>
            if let Some(error) = &sending.error { <span role="alert" class="text-sm text-bad-ink">{ sentence(&error.to_string()) }</span> }
            if props.may { <Button kind={Kind::Ghost} class="px-1.5" busy={sending.busy} label="End this silence…" onclick={ask.reform(|_: MouseEvent| ())}><Icon name="close" /></Button> }
            if ending {
                <Confirm title="End the silence" verb="End it" on_confirm={end} on_close={keep}>
                    { "What it covers is told again from now on. Its reason and its end are lost: " }<b class="font-medium text-ink">{ &silence.reason }</b>
                </Confirm>
            }
        </li>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    alert: Rc<Alert>,
    value: String,
    may_silence: bool,
    may_acknowledge: bool,
    silence: Callback<Option<Uuid>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Detail(props: &DetailProps) -> Html {
    let alert = &props.alert;
    let sending = use_sending(&props.on_close, &props.on_done);
    let acknowledge = {
        let (sending, id) = (sending.clone(), alert.id);
        Callback::from(move |()| {
            let path = format!("/api/pulse/alerts/{id}/acknowledge");
            sending.act(Method::POST, path, "Acknowledged: nobody else is called");
        })
    };
    let rule = alert.rule;
    let closed = matches!(alert.state.as_str(), "resolved" | "acknowledged");
    let footer = html! {
        <>
            if props.may_silence { <Button onclick={props.silence.reform(move |_: MouseEvent| Some(rule))}>{ "Silence…" }</Button> }
            if props.may_acknowledge { <Button kind={Kind::Primary} submit=true busy={sending.busy} disabled={closed}>{ "Acknowledge" }</Button> }
        </>
    };
    html! {
        <Dialog title={alert.title.clone()} on_close={props.on_close.clone()} on_submit={acknowledge} {footer}>
            <p class="mb-3 flex items-center gap-2">{ state_tag(alert) }<span class="text-ink-2">{ "since " }<Since at={alert.raised_at} /></span></p>
            <dl class="grid grid-cols-[8rem_minmax(0,1fr)] gap-y-1">
                <dt class="text-ink-3">{ "Value" }</dt><dd class="tabular-nums">{ &props.value }</dd>
                <dt class="text-ink-3">{ "Raised" }</dt><dd>{ format::absolute(alert.raised_at) }</dd>
                if let Some(at) = alert.resolved_at { <dt class="text-ink-3">{ "Resolved" }</dt><dd>{ format::absolute(at) }</dd> }
                if let Some(by) = &alert.acknowledged_by { <dt class="text-ink-3">{ "Acknowledged by" }</dt><dd>{ by }</dd> }
                <dt class="text-ink-3">{ "Notified" }</dt>
                <dd>if alert.notifications.is_empty() { { "nobody: the rule names no one" } } else { <ul>{ for alert.notifications.iter().map(|line| html! { <li>{ line }</li> }) }</ul> }</dd>
            </dl>
            <p class="mt-3"><a class="text-accent underline" href={format!("/monitoring/charts?series={}", api::escape(&alert.series))}>{ "See its chart" }</a></p>
            <Refusal error={sending.error.clone()} />
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
    let rule = use_form(|| props.rule.map(|id| id.to_string()).unwrap_or_default());
    let hours = use_form(|| "2".to_owned());
    let reason = use_form(String::new);
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (rule, hours, reason, sending) = (rule.clone(), hours.clone(), reason.clone(), sending.clone());
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
            sending.send(Method::POST, "/api/pulse/silences", body, "Silenced");
        })
    };
    let rules = std::iter::once(("".into(), "All rules".into()))
        .chain(props.rules.iter().map(|rule| (rule.id.to_string().into(), rule.name.clone().into())))
        .collect::<Vec<_>>();
    html! {
        <FormDialog title="Silence alerts" verb="Silence" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={reason.trim().is_empty()}>
            <p class="mb-3 text-ink-2">{ "Alerts are still raised and shown, but nobody is notified until it ends." }</p>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Rule" error={sending.field("rule")}><Pick value={(*rule).clone()} options={rules} on={rule.on(|rule, text| *rule = text)} /></Field>
                <Field label="For" error={sending.field("until")}>
                    <Pick value={(*hours).clone()} on={hours.on(|hours, text| *hours = text)} options={options(&[("1", "1 hour"), ("2", "2 hours"), ("8", "8 hours"), ("24", "1 day"), ("168", "1 week")])} />
                </Field>
                <Field label="Why" class="md:col-span-2" error={sending.field("reason")}><Input name="reason" autofocus=true value={(*reason).clone()} on={reason.on(|reason, text| *reason = text)} placeholder="The provider works on the line" /></Field>
            </div>
        </FormDialog>
    }
}
