//! One case: what it is about and where it stands, its alerts with their evidence, what was said, and what happened to it.

use super::{
    radar::{
        Evidence, Excepting, ExceptionDialog, SEVERITIES, ToLogs, around, bar, fill, or_dash, severity, severity_word,
        state_tag, techniques,
    },
    security::CloseCase,
};
use crate::{
    api::{self, Done, List},
    components::{
        Ago, Button, Card, Empty, Field, Icon, Kind, Pick, Refusal, TextArea, button::LINK, form::options, loaded,
        use_flag, use_form, use_sending,
    },
    data::use_resource,
    format,
    route::Route,
    session::use_session,
    words,
};
use gloo_net::http::Method;
use sent_contract::{
    audit,
    identity::User,
    radar::{Alert, CaseChange, CaseDetail, Comment, NewComment},
};
use std::{collections::BTreeSet, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// Properties of [`Case`].
#[derive(Debug, PartialEq, Properties)]
pub struct CaseProps {
    /// Its id.
    pub id: String,
}

/// The page.
#[component]
pub fn Case(props: &CaseProps) -> Html {
    let session = use_session();
    let path = format!("/api/radar/cases/{}", api::escape(&props.id));
    let case = use_resource::<CaseDetail>(
        Some(path),
        &["table:radar_cases", "table:radar_alerts", "table:radar_case_comments"],
    );
    let history = session
        .may("audit.read")
        .then(|| format!("/api/audit?table=radar_cases&key={}&limit=20", api::escape(&props.id)));
    let history = use_resource::<List<audit::Entry>>(history, &["table:radar_cases"]);
    let excepting = use_state(|| None::<Excepting>);
    let except = {
        let excepting = excepting.setter();
        Callback::from(move |from| excepting.set(Some(from)))
    };
    let close = {
        let excepting = excepting.setter();
        Callback::from(move |()| excepting.set(None))
    };
    if case.data.is_none() {
        return html! { <Card pad=false>{ loaded(&case, 8, |_| Html::default()) }</Card> };
    }
    loaded(&case, 8, |detail| {
        html! {
            <div class="grid grid-cols-1 items-start gap-3.5 lg:grid-cols-[minmax(0,1fr)_20rem]">
                <div class="flex min-w-0 flex-col gap-3.5">
                    <Head detail={detail.clone()} reload={case.reload.clone()} />
                    <Card title="Alerts" pad=false aside={html! { { alerts_note(detail) } }}>
                        <ol>{ for detail.alerts.iter().enumerate().map(|(place, alert)| html! { <Found key={alert.id.to_string()} alert={alert.clone()} first={place == 0} on_except={except.clone()} /> }) }</ol>
                    </Card>
                    <Comments detail={detail.clone()} reload={case.reload.clone()} />
                </div>
                <div class="flex min-w-0 flex-col gap-3.5">
                    { facts(detail) }
                    if let Some(history) = &history.data {
                        <Card title="Timeline" pad=false>{ timeline(&history.items) }</Card>
                    }
                </div>
                if let Some(from) = &*excepting {
                    <ExceptionDialog from={from.clone()} on_close={close.clone()} on_done={Callback::noop()} />
                }
            </div>
        }
    })
}

fn alerts_note(detail: &CaseDetail) -> String {
    let shown = detail.alerts.len() as u64;
    let events = format::counted(detail.case.events, "event", "events");
    if detail.case.alerts > shown {
        format!("{events}, the newest {} of {}", format::count(shown), format::count(detail.case.alerts))
    } else {
        events
    }
}

#[derive(Properties, PartialEq)]
struct HeadProps {
    detail: Rc<CaseDetail>,
    reload: Callback<()>,
}

/// The headline, and where it stands.
#[component]
fn Head(props: &HeadProps) -> Html {
    let session = use_session();
    let case = &props.detail.case;
    let may = session.may("radar.case.write");
    let me = session.me.name.clone();
    let sending = use_sending(&Callback::noop(), &props.reload);
    let (closing, ask, asked) = use_flag();
    let people = use_resource::<List<User>>(
        (may && session.may("user.read")).then(|| "/api/users".to_owned()),
        &["table:users"],
    );
    let path = format!("/api/radar/cases/{}", case.id);
    let change = {
        let sending = sending.clone();
        Callback::from(move |(change, done): (CaseChange, String)| {
            sending.send(Method::PATCH, path.clone(), change, done);
        })
    };
    let closed = case.state == "closed";
    let owners: BTreeSet<String> = people
        .data
        .iter()
        .flat_map(|list| list.items.iter().map(|user| user.name.clone()))
        .chain([me.clone(), case.owner.clone()])
        .filter(|name| !name.is_empty())
        .collect();
    let owners: Vec<(AttrValue, AttrValue)> = std::iter::once(("".into(), "Nobody".into()))
        .chain(owners.into_iter().map(|name| {
            let label = if name == me { format!("{name} (you)") } else { name.clone() };
            (name.into(), label.into())
        }))
        .collect();
    let own = change.reform(move |owner: String| {
        let done =
            if owner.is_empty() { "Nobody owns the case now".to_owned() } else { format!("The case is {owner}'s") };
        (CaseChange { owner: Some(owner), ..CaseChange::default() }, done)
    });
    let weigh = change.reform(|severity: String| {
        let done = format!("Severity is {} now", severity_word(&severity).to_lowercase());
        (CaseChange { severity: Some(severity), ..CaseChange::default() }, done)
    });
    let take = {
        let me = me.clone();
        change.reform(move |_: MouseEvent| {
            let change = CaseChange { state: Some("working".into()), owner: Some(me.clone()), ..CaseChange::default() };
            (change, "The case is yours".to_owned())
        })
    };
    let reopen = change.reform(|_: MouseEvent| {
        (CaseChange { state: Some("open".into()), ..CaseChange::default() }, "The case is open again".to_owned())
    });
    html! {
        <Card pad=false>
            <header class="flex flex-wrap items-start gap-x-4 gap-y-2 px-3.5 py-3">
                <div class="min-w-0 flex-1 basis-64">
                    <p class="flex flex-wrap items-center gap-2.5">{ state_tag(&case.state, &case.verdict) }{ severity(&case.severity) }</p>
                    <h2 class="mt-1 text-lg font-semibold">{ &case.title }</h2>
                    <p class="text-ink-2">
                        if !case.host.is_empty() { { "on " }<b class="font-medium text-ink">{ &case.host }</b>{ " " } }
                        if !case.user.is_empty() { { "by " }<b class="font-medium text-ink">{ &case.user }</b>{ " " } }
                        { "last " }<Ago at={case.last_at} />
                    </p>
                </div>
                <div class="flex flex-wrap gap-2">
                    <ToLogs address={around(&case.host, &case.user, case.opened_at, case.last_at)}>{ "Search these logs" }</ToLogs>
                    if may && closed { <Button busy={sending.busy} onclick={reopen}>{ "Open again" }</Button> }
                    if may && !closed {
                        <Button onclick={ask.reform(|_: MouseEvent| ())}>{ "Close case…" }</Button>
                        if case.owner != me { <Button kind={Kind::Primary} busy={sending.busy} onclick={take}>{ "Take it" }</Button> }
                    }
                </div>
            </header>
            <div class="px-3.5"><Refusal error={sending.error.clone()} /></div>
            if may && !closed {
                <div class="grid gap-3 border-t border-line-2 px-3.5 py-3 md:grid-cols-3">
                    <Field label="Owner"><Pick name="owner" value={case.owner.clone()} options={owners} on={own} /></Field>
                    <Field label="State">
                        <Pick name="state" value={case.state.clone()} options={options(&[("open", "Open"), ("working", "In work")])}
                            on={change.reform(|state: String| (CaseChange { state: Some(state), ..CaseChange::default() }, "State changed".to_owned()))} />
                    </Field>
                    <Field label="Severity"><Pick name="severity" value={case.severity.clone()} options={options(&SEVERITIES)} on={weigh} /></Field>
                </div>
            }
            if closing {
                <CloseCase case={case.id} title={case.title.clone()} on_close={asked} on_done={props.reload.clone()} />
            }
        </Card>
    }
}

fn facts(detail: &CaseDetail) -> Html {
    let case = &detail.case;
    let mut by_severity: Vec<(&str, u64)> = Vec::new();
    for alert in &detail.alerts {
        match by_severity.iter_mut().find(|(name, _)| *name == alert.severity) {
            Some((_, count)) => *count += alert.count,
            None => by_severity.push((&alert.severity, alert.count)),
        }
    }
    let all: u64 = by_severity.iter().map(|(_, count)| count).sum();
    html! {
        <Card title="About">
            { bar(by_severity.iter().map(|(name, count)| (fill(name), *count as f64)), all as f64) }
            <dl class="mt-2.5 grid grid-cols-[6rem_minmax(0,1fr)] gap-y-1">
                <dt class="text-ink-3">{ "Alerts" }</dt><dd class="tabular-nums">{ format::count(case.alerts) }</dd>
                <dt class="text-ink-3">{ "Events" }</dt><dd class="tabular-nums">{ format::count(case.events) }</dd>
                <dt class="text-ink-3">{ "Host" }</dt><dd class="break-words">{ or_dash(&case.host) }</dd>
                <dt class="text-ink-3">{ "User" }</dt><dd class="break-words">{ or_dash(&case.user) }</dd>
                <dt class="text-ink-3">{ "Owner" }</dt><dd>{ or_dash(&case.owner) }</dd>
                <dt class="text-ink-3">{ "ATT&CK" }</dt><dd>if case.techniques.is_empty() { { or_dash("") } } else { { techniques(&case.techniques) } }</dd>
                <dt class="text-ink-3">{ "First event" }</dt><dd><Ago at={case.opened_at} /></dd>
                <dt class="text-ink-3">{ "Last event" }</dt><dd><Ago at={case.last_at} /></dd>
                if let Some(at) = case.closed_at { <dt class="text-ink-3">{ "Closed" }</dt><dd><Ago {at} /></dd> }
                <dt class="text-ink-3">{ "Rule" }</dt><dd class="font-mono text-sm break-all text-ink-2">{ &case.rule }</dd>
            </dl>
            <p class="mt-3 flex flex-wrap gap-2">
                <Link<Route, super::radar::Address> to={Route::Security} query={[("rule", case.rule.clone()), ("state", "all".to_owned())].into_iter().collect::<super::radar::Address>()} classes={LINK}>{ "All alerts of this rule" }</Link<Route, super::radar::Address>>
            </p>
        </Card>
    }
}

#[derive(Properties, PartialEq)]
struct FoundProps {
    alert: Alert,
    first: bool,
    on_except: Callback<Excepting>,
}

/// An alert of the case; its evidence is fetched once it is wanted.
#[component]
fn Found(props: &FoundProps) -> Html {
    let alert = &props.alert;
    let open = use_state_eq(|| props.first);
    let toggle = {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(!*open))
    };
    html! {
        <li class="border-b border-line-2 last:border-0">
            <button type="button" aria-expanded={open.to_string()} onclick={toggle} class="flex w-full items-center gap-3 px-3.5 py-2 text-left hover:bg-line-2/55">
                <Icon name="chevron" class={if *open { "size-3.5 text-ink-3" } else { "size-3.5 -rotate-90 text-ink-3" }} />
                <span class="shrink-0 tabular-nums text-ink-2 md:w-28" title={format::absolute(alert.last_at)}>{ format::clock(alert.last_at) }</span>
                <span class="min-w-0 flex-1 truncate font-medium">{ &alert.title }</span>
                <span class="shrink-0 text-sm tabular-nums text-ink-3">{ format::counted(alert.count, "event", "events") }</span>
                <span class="hidden shrink-0 md:inline">{ severity(&alert.severity) }</span>
            </button>
            if *open {
                <div class="px-3.5 pt-1 pb-3.5 md:pl-10">
                    <p class="mb-2 flex flex-wrap gap-x-3 text-sm text-ink-3">
                        <span>{ format::absolute(alert.first_at) }if alert.last_at > alert.first_at { { " – " }{ format::absolute(alert.last_at) } }</span>
                        <ToLogs button=false address={around(&alert.host, &alert.user, alert.first_at, alert.last_at)}>{ "Logs of that time" }</ToLogs>
                    </p>
                    <Evidence alert={alert.id} on_except={props.on_except.clone()} />
                </div>
            }
        </li>
    }
}

#[derive(Properties, PartialEq)]
struct CommentsProps {
    detail: Rc<CaseDetail>,
    reload: Callback<()>,
}

#[component]
fn Comments(props: &CommentsProps) -> Html {
    let may = use_session().may("radar.case.write");
    let text = use_form(String::new);
    let cleared = {
        let (clear, reload) = (text.on(|text, (): ()| text.clear()), props.reload.clone());
        Callback::from(move |()| {
            clear.emit(());
            reload.emit(());
        })
    };
    let sending = use_sending(&Callback::noop(), &cleared);
    let send = {
        let (text, sending, case) = (text.clone(), sending.clone(), props.detail.case.id);
        Callback::from(move |()| {
            let said = NewComment { text: text.trim().to_owned() };
            if said.text.is_empty() || sending.busy {
                return;
            }
            let path = format!("/api/radar/cases/{case}/comments");
            sending.run(async move { api::post::<Done>(&path, &said).await }, |_| "Comment added".into());
        })
    };
    let onsubmit = {
        let send = send.clone();
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            send.emit(());
        })
    };
    let onkeydown = Callback::from(move |event: KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            send.emit(());
        }
    });
    html! {
        <Card title="Comments" pad=false>
            if props.detail.comments.is_empty() && !may { <Empty title="Nothing was said" /> }
            <ol>{ for props.detail.comments.iter().map(comment) }</ol>
            if may {
                <form {onsubmit} {onkeydown} class="flex flex-col gap-2 px-3.5 py-3">
                    <Field label="Say something" error={sending.field("text")}><TextArea rows=3 value={(*text).clone()} on={text.on(|text, typed| *text = typed)} placeholder="What you found, what you did" /></Field>
                    <Refusal error={sending.error.clone()} />
                    <span class="flex items-center gap-3">
                        <Button submit=true busy={sending.busy} disabled={text.trim().is_empty()}>{ "Add comment" }</Button>
                        <span class="hidden text-sm text-ink-3 md:inline"><kbd class="kbd">{ "Ctrl" }</kbd>{ " " }<kbd class="kbd">{ "Enter" }</kbd></span>
                    </span>
                </form>
            }
        </Card>
    }
}

fn comment(comment: &Comment) -> Html {
    html! {
        <li key={comment.id.to_string()} class="flex gap-3 border-b border-line-2 px-3.5 py-2.5">
            <span class="flex size-6 shrink-0 items-center justify-center rounded-full bg-accent-soft text-xs font-semibold text-accent" aria-hidden="true">{ format::initials(&comment.author) }</span>
            <div class="min-w-0 flex-1">
                <p><b class="font-medium">{ &comment.author }</b><span class="text-sm text-ink-3">{ " · " }<Ago at={comment.at} /></span></p>
                <p class="break-words whitespace-pre-line text-ink-2">{ &comment.text }</p>
            </div>
        </li>
    }
}

/// What happened to it, newest first.
fn timeline(entries: &[audit::Entry]) -> Html {
    html! {
        <ol>
            for entry in entries.iter() {
                <li key={entry.sequence} class="flex items-start gap-2.5 border-b border-line-2 px-3.5 py-2 last:border-0">
                    <Icon name="check" class="mt-0.5 size-3.5 text-ink-3" />
                    <span class="min-w-0 flex-1"><b class="font-medium">{ &entry.actor }</b><br /><span class="text-sm text-ink-3" title={entry.action.clone()}>{ words::action(&entry.action) }</span></span>
                    <span class="text-sm text-ink-3"><Ago at={entry.at} /></span>
                </li>
            }
        </ol>
    }
}
