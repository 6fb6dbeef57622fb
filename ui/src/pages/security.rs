//! What rules found in the logs, live: the queue of alerts, what stands behind each, and what is done about it. Above it,
//! in three cards: cases that wait, whom to look at first, and whether logs arrive at all.

use super::radar::{
    Address, Evidence, Excepting, ExceptionDialog, Tabs, ToLogs, VERDICTS, around, bar, fill, or_dash, severity,
    severity_options, severity_word, state_tag, state_word, techniques,
};
use crate::{
    api::{List, with_query},
    components::{
        Ago, Button, Card, Chip, Choice, Column, DataTable, Dialog, Empty, Field, FormDialog, Icon, Kind, Pick,
        Refusal, Row, Search, Slot, StateChips, StatusLine, TextArea, Toolbar,
        button::LINK,
        list::{Set, state_of},
        loaded, paged, use_form, use_now, use_search, use_sending,
    },
    data::{use_pages, use_query, use_resource},
    format,
    route::Route,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::{
    Uuid,
    radar::{Alert, AlertDetail, CaseChange, CaseCounts, NewComment, RadarStatus, Risk},
};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// States of the address, the first being what an address without one means.
pub const STATES: [(&str, &str); 5] =
    [("active", "Not closed"), ("open", "Open"), ("working", "In work"), ("closed", "Closed"), ("all", "All")];
/// What narrows the queue.
const FILTERS: [&str; 5] = ["severity", "host", "user", "rule", "q"];
/// How often the intake is asked how it is doing, in µs.
const RECOUNT: i64 = 15_000_000;
/// Hosts and users that are shown as the riskiest.
const RISKIEST: usize = 4;

impl Row for Alert {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// A name that narrows the list to itself.
fn narrows(set: &Set, name: &'static str, value: &str) -> Html {
    if value.is_empty() {
        return or_dash("");
    }
    let (set, value) = (set.clone(), value.to_owned());
    let to = value.clone();
    html! {
        <button type="button" class="max-w-full truncate text-left hover:text-accent hover:underline" title={format!("Only {value}")}
            onclick={Callback::from(move |_: MouseEvent| set.emit(vec![(name, to.clone())]))}>{ value }</button>
    }
}

fn columns(set: &Set) -> Vec<Column<Alert>> {
    let (by_host, by_user) = (set.clone(), set.clone());
    vec![
        Column::new("Severity", |alert: &Alert| severity_word(&alert.severity))
            .cell(|alert| severity(&alert.severity))
            .at(Slot::Value),
        Column::new("Alert", |alert: &Alert| alert.title.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Host", |alert: &Alert| alert.host.clone())
            .cell(move |alert| narrows(&by_host, "host", &alert.host))
            .at(Slot::Detail),
        Column::new("User", |alert: &Alert| alert.user.clone())
            .cell(move |alert| narrows(&by_user, "user", &alert.user))
            .at(Slot::Detail),
        Column::new("Technique", |alert: &Alert| alert.techniques.join(" ")).cell(|alert| techniques(&alert.techniques)),
        Column::new("Events", |alert: &Alert| alert.count.to_string()).num().cell(|alert| format::count(alert.count).into()),
        Column::new("Last seen", |alert: &Alert| format::iso(alert.last_at))
            .cell(|alert| html! { <Ago at={alert.last_at} /> })
            .class("text-ink-2")
            .at(Slot::Meta),
        Column::new("Case", |alert: &Alert| state_word(&alert.case_state, ""))
            .cell(|alert| html! { <span class="inline-flex items-center gap-1.5">{ state_tag(&alert.case_state, "") }<span class="text-sm text-ink-3">{ &alert.owner }</span></span> }),
    ]
}

/// The page.
#[component]
pub fn Security() -> Html {
    let (query, set) = use_query();
    let (state, asked) = state_of(&query, STATES[0].0);
    let filters = FILTERS.map(|name| (name, query.get(name).to_owned()));
    let path = with_query("/api/radar/alerts", &[&[("state", asked)], &filters[..]].concat());
    let alerts = use_pages::<Alert>(path, &["radar.alerts", "table:radar_alerts", "table:radar_cases"]);
    let status =
        use_resource::<RadarStatus>(Some("/api/radar/status".into()), &["table:radar_alerts", "table:radar_rules"]);
    let turn = use_now() / RECOUNT;
    {
        // What is counted changes without a row that changes.
        let reload = status.reload.clone();
        use_effect_with(turn, move |_| reload.emit(()));
    }
    let counts = use_resource::<CaseCounts>(Some("/api/radar/cases/counts".into()), &["table:radar_cases"]);
    let risks =
        use_resource::<List<Risk>>(Some("/api/radar/risk".into()), &["table:radar_alerts", "table:radar_cases"]);
    let columns = use_memo(set.clone(), columns);
    let (typed, on_type) = use_search(&query, &set, "q");
    let open = use_callback(set.clone(), |alert: Alert, set| set.emit(vec![("alert", alert.id.to_string())]));
    let close = set.reform(|()| vec![("alert", String::new())]);
    let filtered = query.any(&FILTERS);
    let empty = match (&status.data, filtered || state != STATES[0].0) {
        (_, true) => html! {
            <Empty title="No alert fits" text="Nothing that was found is like this.">
                <Button onclick={set.reform(|_: MouseEvent| FILTERS.map(|name| (name, String::new())).into_iter().chain([("state", String::new())]).collect())}>{ "Clear the filters" }</Button>
            </Empty>
        },
        (Some(status), _) if status.rules == 0 => html! {
            <Empty title="No rules run" text="Alerts are what rules find in the logs. Install a pack of Sigma rules, or put your own on the box.">
                <Link<Route> to={Route::Detection} classes={LINK}>{ "Rules" }</Link<Route>>
            </Empty>
        },
        (Some(status), _) if status.messages == 0 && status.stored == 0 => html! {
            <Empty title="No logs arrive yet" text="Point Filebeat, Winlogbeat, Vector or a Splunk forwarder at /api/radar/intake of this box, with an API token that has the right radar.intake.">
                <Link<Route> to={Route::Account} classes={LINK}>{ "Make a token" }</Link<Route>>
            </Empty>
        },
        _ => html! { <Empty title="Nothing waits" text="No alert is open: everything that rules found is closed." /> },
    };
    let alert = query.get("alert").to_owned();
    html! {
        <>
            <Toolbar views=true>
                <Tabs />
                <StateChips {state} set={set.clone()} options={STATES.to_vec()} />
                <Pick class="w-auto!" label="Severity" value={query.get("severity").to_owned()} options={severity_options()} on={set.reform(|value| vec![("severity", value)])} />
                <Search value={typed} placeholder="Title, host, user, T1110" on={on_type} />
                { for ["host", "user", "rule"].map(|name| removable(name, query.get(name), &set)) }
            </Toolbar>
            <div class="grid shrink-0 grid-cols-1 gap-3.5 md:grid-cols-3">
                <Card title="Open cases" aside={html! { <Link<Route> to={Route::Cases} classes="text-accent hover:underline">{ "All cases" }</Link<Route>> }}>
                    { loaded(&counts, 3, |counts| waiting(counts, query.get("severity"), &set)) }
                </Card>
                <Card title="Riskiest" class="max-md:hidden" aside={html! { <span title="What their alerts weigh, less the older they are">{ "Score, 14 days" }</span> }}>
                    { loaded(&risks, 3, |risks| riskiest(&risks.items, &set)) }
                </Card>
                <Card title="Intake">
                    { loaded(&status, 3, intake) }
                </Card>
            </div>
            <div class="flex min-h-72 flex-col md:flex-1">
                { paged(&alerts, |rows| html! { <DataTable<Alert> {rows} columns={columns.clone()} name="Alerts" on_open={open.clone()} on_more={alerts.more.clone()} every={alerts.every.clone()} total={alerts.total} {empty} /> }) }
            </div>
            if !alert.is_empty() {
                <Opened key={alert.clone()} id={alert.clone()} on_close={close} />
            }
        </>
    }
}

/// A filter that is set by pressing a name, and how it goes away.
fn removable(name: &'static str, value: &str, set: &Set) -> Html {
    if value.is_empty() {
        return Html::default();
    }
    let label = match name {
        "rule" => "This rule".to_owned(),
        _ => format!("{name} {value}"),
    };
    html! { <Chip on=true onclick={set.reform(move |_: MouseEvent| vec![(name, String::new())])}><span class="max-w-48 truncate">{ label }</span><Icon name="close" class="size-3" /></Chip> }
}

/// How many cases wait, by severity; each narrows the queue to itself.
fn waiting(counts: &Rc<CaseCounts>, chosen: &str, set: &Set) -> Html {
    let total: u64 = counts.severities.iter().map(|(_, cases)| cases).sum();
    if total == 0 {
        return html! { <p class="text-ink-2">{ "None. Whatever rules find opens a case here." }</p> };
    }
    let unowned = match counts.unowned {
        0 => "each has an owner".to_owned(),
        count if count == total => "nobody owns them yet".to_owned(),
        count => format!("{} without an owner", format::count(count)),
    };
    html! {
        <>
            <p class="flex items-baseline gap-2"><b class="text-xl font-semibold tabular-nums">{ format::count(total) }</b><span class="text-sm text-ink-3">{ unowned }</span></p>
            <div class="my-2">{ bar(counts.severities.iter().map(|(severity, cases)| (fill(severity), *cases as f64)), total as f64) }</div>
            <div class="flex flex-wrap gap-x-3 gap-y-0.5" role="group" aria-label="Severity">
                for (severity, cases) in counts.severities.iter() {
                    <button key={severity.clone()} type="button" aria-pressed={(severity == chosen).to_string()} class={classes!("inline-flex", "items-center", "gap-1.5", "hover:text-accent", (severity == chosen).then_some("text-accent font-medium"))}
                        onclick={let to = if severity == chosen { String::new() } else { severity.clone() }; set.reform(move |_: MouseEvent| vec![("severity", to.clone())])}>
                        <svg viewBox="0 0 8 8" class="size-2" aria-hidden="true"><circle cx="4" cy="4" r="4" class={fill(severity)} /></svg>
                        { severity_word(severity) }<span class="tabular-nums text-ink-3">{ format::count(*cases) }</span>
                    </button>
                }
            </div>
        </>
    }
}

fn riskiest(risks: &[Risk], set: &Set) -> Html {
    let Some(most) = risks.first().map(|risk| risk.score.max(1.0)) else {
        return html! { <p class="text-ink-2">{ "Nobody: no alert of the last 14 days weighs anything." }</p> };
    };
    html! {
        <ul class="grid gap-1">
            for risk in risks.iter().take(RISKIEST) {
                <li key={format!("{} {}", risk.kind, risk.name)} class="grid grid-cols-[2.25rem_minmax(0,1fr)_5rem_2.5rem] items-center gap-2">
                    <span class="text-sm text-ink-3">{ if risk.kind == "host" { "Host" } else { "User" } }</span>
                    { narrows(set, if risk.kind == "host" { "host" } else { "user" }, &risk.name) }
                    { bar(std::iter::once((fill(&risk.severity), risk.score)), most) }
                    <span class="text-right tabular-nums" title={format!("{}, the worst {}", format::counted(risk.alerts, "alert", "alerts"), severity_word(&risk.severity).to_lowercase())}>{ format!("{:.0}", risk.score) }</span>
                </li>
            }
        </ul>
    }
}

/// Whether logs arrive, and what became of those that did not.
fn intake(status: &Rc<RadarStatus>) -> Html {
    let lost = status.dropped + status.dropped_by_kernel;
    let (waits, bound) = status.queue;
    let share = waits as f64 / bound.max(1) as f64;
    let fact = |label: &'static str, value: String, bad: bool, why: &'static str| {
        html! {
            <div title={why}><dt class="text-sm text-ink-3">{ label }</dt><dd class={classes!("tabular-nums", bad.then_some("font-medium text-bad-ink"))}>{ value }</dd></div>
        }
    };
    let broken: Address = BTreeMap::from([("kind", "broken".to_owned())]);
    html! {
        <>
            <StatusLine status={status.status.clone()} since=true />
            <dl class="mt-2 grid grid-cols-4 gap-x-3 max-md:hidden">
                { fact("Messages", format::measure(status.messages as f64, "count"), false, "Since radar began") }
                { fact("Lost", format::measure(lost as f64, "count"), lost > 0, "Datagrams that found the queue full, or that the kernel dropped") }
                { fact("Queue", format::percent(share), share > 0.5, "Of its bound on disk") }
                { fact("Rules", format::count(status.rules), false, "That run") }
            </dl>
            <p class="mt-1.5 truncate text-sm text-ink-3">
                if status.broken > 0 {
                    <Link<Route, Address> to={Route::Detection} query={broken} classes="text-warn-ink hover:underline">{ "See what is wrong" }</Link<Route, Address>>{ " · " }
                }
                { ways(status) }
            </p>
        </>
    }
}

fn ways(status: &RadarStatus) -> String {
    let names: Vec<&str> = status.ways.iter().map(|way| way.name.as_str()).collect();
    if names.is_empty() { "No way in is open".to_owned() } else { format!("In over {}", names.join(", ")) }
}

#[derive(Properties, PartialEq)]
struct OpenedProps {
    id: String,
    on_close: Callback<()>,
}

/// What a person does about an alert.
#[derive(Clone, PartialEq)]
enum Deed {
    Look,
    Close,
    Except(Excepting),
}

/// One alert with what stands behind it.
#[component]
fn Opened(props: &OpenedProps) -> Html {
    let detail = use_resource::<AlertDetail>(
        Some(format!("/api/radar/alerts/{}", props.id)),
        &["table:radar_cases", "table:radar_alerts"],
    );
    let session = use_session();
    let sending = use_sending(&Callback::noop(), &detail.reload);
    let deed = use_state(|| Deed::Look);
    let navigator = use_navigator();
    let look = {
        let deed = deed.setter();
        Callback::from(move |()| deed.set(Deed::Look))
    };
    let Some(AlertDetail { alert, .. }) = detail.data.as_deref() else {
        return html! { <Dialog key="loading" title="Alert" wide=true on_close={props.on_close.clone()}>{ loaded(&detail, 8, |_| Html::default()) }</Dialog> };
    };
    match &*deed {
        Deed::Close => {
            return html! { <CloseCase case={alert.case} title={alert.title.clone()} on_close={look} on_done={detail.reload.clone()} /> };
        }
        Deed::Except(from) => {
            return html! { <ExceptionDialog from={from.clone()} on_close={look} on_done={Callback::noop()} /> };
        }
        Deed::Look => {}
    }
    let me = session.me.name.clone();
    let mine = alert.owner == me;
    let (works, closed) = (session.may("radar.case.write"), alert.case_state == "closed");
    let takes = works && !mine && !closed;
    let submit = {
        let (sending, case) = (sending.clone(), alert.case);
        Callback::from(move |()| {
            if sending.busy {
                return;
            }
            if takes {
                let change =
                    CaseChange { state: Some("working".into()), owner: Some(me.clone()), ..CaseChange::default() };
                sending.send(Method::PATCH, format!("/api/radar/cases/{case}"), change, "The case is yours");
            } else if let Some(navigator) = &navigator {
                navigator.push(&Route::Case { id: case.to_string() });
            }
        })
    };
    let except = {
        let deed = deed.setter();
        Callback::from(move |from| deed.set(Deed::Except(from)))
    };
    let rule_only = Excepting {
        rule: alert.rule.clone(),
        title: alert.title.clone(),
        fields: [("host.name", &alert.host), ("user.name", &alert.user)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect(),
        known: Rc::new(detail.data.as_ref().map(|detail| detail.fields.clone()).unwrap_or_default()),
    };
    let show_close = {
        let deed = deed.setter();
        Callback::from(move |_: MouseEvent| deed.set(Deed::Close))
    };
    let footer = html! {
        <>
            <span class="mr-auto flex flex-wrap gap-2">
                <ToLogs address={around(&alert.host, &alert.user, alert.first_at, alert.last_at)}>{ "Search these logs" }</ToLogs>
                if session.may("radar.exception.write") { <Button onclick={except.reform(move |_: MouseEvent| rule_only.clone())}>{ "Except…" }</Button> }
            </span>
            if works && !closed { <Button onclick={show_close}>{ "Close case…" }</Button> }
            if takes { <Link<Route> to={Route::Case { id: alert.case.to_string() }} classes={LINK}>{ "Open case" }</Link<Route>> }
            // One button, never disabled: it keeps the keyboard, and Enter takes the case and then opens it.
            <Button key="primary" kind={Kind::Primary} submit=true autofocus=true>{ if takes { "Take it" } else { "Open case" } }</Button>
        </>
    };
    html! {
        <Dialog key="loaded" title={alert.title.clone()} wide=true on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <p class="mb-3 flex flex-wrap items-center gap-x-3 gap-y-1">
                { severity(&alert.severity) }
                { state_tag(&alert.case_state, "") }
                if !alert.owner.is_empty() { <span class="text-ink-2">{ if mine { "yours".to_owned() } else { alert.owner.clone() } }</span> }
                <span class="text-ink-2">{ format::counted(alert.count, "event", "events") }{ ", last " }<Ago at={alert.last_at} /></span>
                if !alert.host.is_empty() { <span class="text-ink-2">{ "on " }<b class="font-medium text-ink">{ &alert.host }</b></span> }
                if !alert.user.is_empty() { <span class="text-ink-2">{ "by " }<b class="font-medium text-ink">{ &alert.user }</b></span> }
            </p>
            <Refusal error={sending.error.clone()} />
            <Evidence alert={alert.id} on_except={except} />
        </Dialog>
    }
}

/// Properties of [`CloseCase`].
#[derive(Properties, PartialEq)]
pub struct CloseCaseProps {
    /// Which.
    pub case: Uuid,
    /// Its headline.
    pub title: AttrValue,
    /// Left.
    pub on_close: Callback<()>,
    /// Closed.
    pub on_done: Callback<()>,
}

/// Closes a case with how it ended, and why.
#[component]
pub fn CloseCase(props: &CloseCaseProps) -> Html {
    let verdict = use_form(|| VERDICTS[0].0.to_owned());
    let why = use_form(String::new);
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (verdict, why, sending, case) = (verdict.clone(), why.clone(), sending.clone(), props.case);
        Callback::from(move |()| {
            let change =
                CaseChange { state: Some("closed".into()), verdict: Some((*verdict).clone()), ..CaseChange::default() };
            let said = Some(NewComment { text: why.trim().to_owned() }).filter(|said| !said.text.is_empty());
            let request = async move {
                let path = format!("/api/radar/cases/{case}");
                // Said first: a case that is closed says why.
                if let Some(said) = said {
                    crate::api::post::<crate::api::Done>(&format!("{path}/comments"), &said).await?;
                }
                crate::api::send::<crate::api::Done>(Method::PATCH, &path, &change).await
            };
            sending.run(request, |_| "Case closed".into());
        })
    };
    html! {
        <FormDialog title="Close the case" verb="Close case" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit}>
            <p class="mb-3 text-ink-2">{ "“" }{ &props.title }{ "” with all its alerts. The next match opens a new case." }</p>
            <div class="grid gap-3">
                <div class="flex flex-col gap-1">
                    <span class="text-sm font-medium text-ink-2">{ "It was" }</span>
                    <span><Choice label="Verdict" options={VERDICTS.to_vec()} value={(*verdict).clone()} on={verdict.on(|verdict, value| *verdict = value)} /></span>
                    <span class="text-sm text-ink-3">{ match verdict.as_str() {
                        "true_positive" => "What the rule looks for, and it was trouble: it counts for risk.",
                        "false_positive" => "Not what the rule looks for. It no longer counts for risk; consider an exception.",
                        _ => "What the rule looks for, but meant to be. It no longer counts for risk.",
                    } }</span>
                </div>
                <Field label="Why" error={sending.field("text")}><TextArea rows=3 value={(*why).clone()} on={why.on(|why, text| *why = text)} placeholder="A comment on the case; may stay empty" /></Field>
            </div>
        </FormDialog>
    }
}
