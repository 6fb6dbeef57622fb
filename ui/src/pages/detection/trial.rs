//! Trying rules: on an event that is pasted, and on the stored logs of some time. Neither changes anything.

use crate::{
    api,
    components::{
        Button, Card, Empty, Field, Kind, Pick, Refusal, Tag, TextArea, Tone, button::LINK, use_form, use_sending,
    },
    format,
    pages::{
        logs::RANGES,
        radar::{Address, fields, or_dash, severity},
    },
    route::Route,
};
use sent_contract::{
    Micros,
    radar::{Hit, Hunt, Hunted, RuleMatch, RuleTest, RuleTried},
};
use std::rc::Rc;
use yew::prelude::*;
use yew_router::prelude::*;

const EVENT: &str = "<38>Nov 23 11:00:00 web-1 sshd[7]: Failed password for root from 10.1.1.1 port 22 ssh2";
const RULE: &str = "title: Failed login
level: low
logsource:
  product: linux
detection:
  words: ['Failed password']
  condition: words";

fn found(rule: &RuleMatch) -> Html {
    html! {
        <>
            <span class="min-w-0 flex-1 truncate font-medium" title={rule.rule.clone()}>{ &rule.title }</span>
            <span class="hidden shrink-0 text-sm text-ink-3 md:inline">{ or_dash(&rule.author) }</span>
            <span class="shrink-0">{ severity(&rule.severity) }</span>
        </>
    }
}

fn faults(faults: &[String]) -> Html {
    html! {
        if !faults.is_empty() {
            <ul role="alert" class="border-b border-line-2 bg-bad-soft px-3.5 py-2 text-bad-ink">{ for faults.iter().map(|fault| html! { <li class="break-words">{ fault }</li> }) }</ul>
        }
    }
}

/// Ctrl Enter sends, as Enter does in a line.
fn by_key(send: &Callback<()>) -> Callback<KeyboardEvent> {
    let send = send.clone();
    Callback::from(move |event: KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            send.emit(());
        }
    })
}

fn by_form(send: &Callback<()>) -> Callback<SubmitEvent> {
    send.reform(|event: SubmitEvent| event.prevent_default())
}

#[derive(Clone, Default, PartialEq)]
struct Trial {
    event: String,
    rules: String,
}

/// What an event would set off.
#[component]
pub(super) fn Try() -> Html {
    let form = use_form(Trial::default);
    let answer = use_state(|| None::<Rc<RuleTried>>);
    let sending = use_sending(&Callback::noop(), &Callback::noop());
    let send = {
        let (form, answer, sending) = (form.clone(), answer.setter(), sending.clone());
        Callback::from(move |()| {
            let rules = Some(form.rules.clone()).filter(|rules| !rules.trim().is_empty());
            let test = RuleTest { event: form.event.clone(), rules };
            let answer = answer.clone();
            let request = async move { api::post::<RuleTried>("/api/radar/rules/test", &test).await };
            sending.run(request, move |tried| {
                answer.set(Some(Rc::new(tried.clone())));
                match tried.matches.len() as u64 {
                    0 => "No rule matches".into(),
                    count => format!("{} matched", format::counted(count, "rule", "rules")).into(),
                }
            });
        })
    };
    let example = form.on(|form, (): ()| *form = Trial { event: EVENT.to_owned(), rules: RULE.to_owned() });
    html! {
        <div class="grid shrink-0 grid-cols-1 items-start gap-3.5 lg:grid-cols-2">
            <Card title="Event">
                <form onsubmit={by_form(&send)} onkeydown={by_key(&send)} class="grid gap-3">
                    <Field label="As it would arrive" hint="JSON, syslog, CEF, LEEF, key=value or plain text" error={sending.field("event")}>
                        <TextArea rows=6 mono=true value={form.event.clone()} on={form.on(|form, text| form.event = text)} placeholder={EVENT} />
                    </Field>
                    <Field label="Sigma rules to try" hint="Empty: the rules of this box" error={sending.field("rules")}>
                        <TextArea rows=9 mono=true value={form.rules.clone()} on={form.on(|form, text| form.rules = text)} placeholder={RULE} />
                    </Field>
                    <Refusal error={sending.error.clone()} />
                    <span class="flex flex-wrap items-center gap-2">
                        <Button kind={Kind::Primary} submit=true busy={sending.busy} disabled={form.event.trim().is_empty()}>{ "Try it" }</Button>
                        <Button kind={Kind::Ghost} onclick={example.reform(|_: MouseEvent| ())}>{ "Fill in an example" }</Button>
                    </span>
                </form>
            </Card>
            <div class="flex min-w-0 flex-col gap-3.5">
                { match &*answer {
                    None => html! { <Card title="What it sets off"><Empty title="Nothing was tried yet" text="Paste an event: here stands which rules match it, what is wrong with the rules given, and the event's fields as rules see them." /></Card> },
                    Some(tried) => html! { { told(tried) } },
                } }
            </div>
        </div>
    }
}

fn told(tried: &RuleTried) -> Html {
    let aside = html! { <Tag tone={if tried.matches.is_empty() { Tone::Plain } else { Tone::Ok }}>{ format::counted(tried.matches.len() as u64, "match", "matches") }</Tag> };
    html! {
        <>
            <Card title="What it sets off" pad=false {aside}>
                { faults(&tried.faults) }
                if tried.matches.is_empty() {
                    <Empty title="No rule matches" text="Compare the fields below with those the rule names: a rule sees exactly these." />
                } else {
                    <ul>{ for tried.matches.iter().map(|rule| html! { <li class="flex items-center gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">{ found(rule) }</li> }) }</ul>
                }
            </Card>
            <Card title="The event as rules see it" aside={html! { { format::counted(tried.fields.len() as u64, "field", "fields") } }}>
                { fields(&tried.fields, |_, _| Html::default()) }
            </Card>
        </>
    }
}

#[derive(Clone, PartialEq)]
struct Hunter {
    rules: String,
    range: String,
}

/// What a hunt found, and the time it was over.
type Caught = Rc<(Hunted, Micros, Micros)>;

/// A rule asked of the stored logs.
#[component]
pub(super) fn Hunting() -> Html {
    let form = use_form(|| Hunter { rules: String::new(), range: "24h".to_owned() });
    let answer = use_state(|| None::<Caught>);
    let sending = use_sending(&Callback::noop(), &Callback::noop());
    let send = {
        let (form, answer, sending) = (form.clone(), answer.setter(), sending.clone());
        Callback::from(move |()| {
            let to = format::now();
            let length = RANGES.iter().find(|(key, ..)| *key == form.range).map_or(0, |(_, _, length)| *length);
            let hunt = Hunt { rules: form.rules.clone(), from: to - length, to };
            let answer = answer.clone();
            let request = async move { api::post::<Hunted>("/api/radar/rules/hunt", &hunt).await };
            sending.run(request, move |hunted| {
                answer.set(Some(Rc::new((hunted.clone(), to - length, to))));
                format::counted(hunted.matches, "match", "matches").into()
            });
        })
    };
    let ranges =
        RANGES.iter().map(|(key, label, _)| ((*key).into(), format!("The last {label}").into())).collect::<Vec<_>>();
    html! {
        <div class="grid shrink-0 grid-cols-1 items-start gap-3.5 lg:grid-cols-[26rem_minmax(0,1fr)]">
            <Card title="Rule">
                <form onsubmit={by_form(&send)} onkeydown={by_key(&send)} class="grid gap-3">
                    <Field label="Sigma rules" error={sending.field("rules")}>
                        <TextArea rows=14 mono=true value={form.rules.clone()} on={form.on(|form, text| form.rules = text)} placeholder={RULE} />
                    </Field>
                    <Field label="Asked of" error={sending.field("from")}><Pick name="range" value={form.range.clone()} options={ranges} on={form.on(|form, range| form.range = range)} /></Field>
                    <Refusal error={sending.error.clone()} />
                    <span><Button kind={Kind::Primary} submit=true busy={sending.busy} disabled={form.rules.trim().is_empty()}>{ if sending.busy { "Hunting…" } else { "Hunt" } }</Button></span>
                    if sending.busy { <p role="status" class="text-sm text-ink-3">{ "Every stored line of that time is asked, for at most 25 seconds." }</p> }
                </form>
            </Card>
            <div class="flex min-w-0 flex-col gap-3.5">
                { match &*answer {
                    None => html! { <Card title="What it found"><Empty title="Nothing was hunted yet" text="A rule that is new today may have matched last week: ask it of the stored logs. It raises no alerts." /></Card> },
                    Some(caught) => html! { { hits(caught) } },
                } }
            </div>
        </div>
    }
}

fn hits(caught: &Caught) -> Html {
    let (hunted, from, to) = &**caught;
    let asked = format::counted(hunted.lines, "line", "lines");
    html! {
        <Card title="What it found" pad=false aside={html! { { format!("{} – {}", format::clock(*from), format::clock(*to)) } }}>
            { faults(&hunted.faults) }
            <p class="border-b border-line-2 px-3.5 py-2 text-ink-2">
                <b class="font-semibold text-ink tabular-nums">{ format::counted(hunted.matches, "match", "matches") }</b>
                { if hunted.complete { format!(" in {asked}.") } else { " before time ran out: not every line was asked. Take a shorter time.".to_owned() } }
                if hunted.matches > hunted.hits.len() as u64 { { format!(" The first {} are here.", format::count(hunted.hits.len() as u64)) } }
            </p>
            if hunted.hits.is_empty() {
                <Empty title="No line matches" text="Nothing that is stored of that time is what this rule looks for." />
            }
            <ol>
                for (place, (rule, hit)) in hunted.hits.iter().enumerate() {
                    <li key={place} class="border-b border-line-2 px-3.5 py-2 last:border-0">
                        <p class="flex items-center gap-3"><span class="shrink-0 tabular-nums text-ink-2" title={format::absolute(hit.at)}>{ format::precise(hit.at) }</span>{ found(rule) }</p>
                        <p class="flex items-baseline gap-3"><span class="min-w-0 flex-1 truncate font-mono text-sm text-ink-2" title={hit.original.clone()}>{ if hit.message.is_empty() { &hit.original } else { &hit.message } }</span>{ beside(hit) }</p>
                    </li>
                }
            </ol>
        </Card>
    }
}

/// The way to the line among its neighbours.
fn beside(hit: &Hit) -> Html {
    let address: Address =
        [("from", (hit.at - 60_000_000).to_string()), ("to", (hit.at + 60_000_000).to_string())].into_iter().collect();
    html! { <Link<Route, Address> to={Route::Logs} query={address} classes={classes!("shrink-0", LINK, "min-h-6!", "px-2!")}>{ "Logs" }</Link<Route, Address>> }
}
