//! Sigma rules: which run and which are broken, packs of them, what is kept quiet, and a place to try them on an event or
//! on the stored logs. Which of these is shown stands in the address.

mod exceptions;
mod packs;
mod trial;

use super::radar::{
    Address, Excepting, ExceptionDialog, Tabs, or_dash, severity, severity_options, severity_word, tactics, techniques,
};
use crate::{
    api::{self, Done, List},
    components::{
        Button, Chip, Column, DataTable, Dialog, Empty, Kind, Pick, Refusal, Row, Search, Slot, Tag, Tone, Toolbar,
        button::LINK, listed, status::sentence, use_rows, use_search, use_sending, use_toast,
    },
    data::{use_query, use_resource},
    route::Route,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::radar::{Rule, RuleChange};
use std::{collections::BTreeSet, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// What the page can show; the first is what an address without `show` means.
const VIEWS: [(&str, &str); 5] = [
    ("rules", "All rules"),
    ("packs", "Packs"),
    ("exceptions", "Exceptions"),
    ("try", "Try an event"),
    ("hunt", "Hunt"),
];
/// Kinds of rules, as the address has them.
const KINDS: [(&str, &str); 4] = [("", "All"), ("on", "On"), ("off", "Off"), ("broken", "Broken")];
/// The pack of rules that came with none, as the address has it.
const OWN: &str = "-";

impl Row for Rule {
    fn key(&self) -> String {
        self.id.clone()
    }
}

/// The page.
#[component]
pub fn Detection() -> Html {
    let (query, set) = use_query();
    let show = VIEWS.iter().map(|(name, _)| *name).find(|name| *name == query.get("show")).unwrap_or(VIEWS[0].0);
    let session = use_session();
    let views = html! {
        <>
            <Tabs />
            <span role="group" aria-label="Show" class="inline-flex flex-wrap gap-1.5">
                for (name, label) in VIEWS.into_iter().filter(|(name, _)| *name != "hunt" || session.may("radar.search")) {
                    <Chip on={show == name} onclick={set.reform(move |_: MouseEvent| vec![("show", if name == VIEWS[0].0 { String::new() } else { name.to_owned() })])}>{ label }</Chip>
                }
            </span>
        </>
    };
    match show {
        "packs" => html! { <packs::Packs {views} /> },
        "exceptions" => html! { <exceptions::Exceptions {views} /> },
        "try" => html! { <><Toolbar>{ views }</Toolbar><trial::Try /></> },
        "hunt" => html! { <><Toolbar>{ views }</Toolbar><trial::Hunting /></> },
        _ => html! { <Rules {views} /> },
    }
}

/// A state in a word: what a rule does now.
fn state_word(rule: &Rule) -> &'static str {
    match (rule.kind.as_str(), rule.enabled) {
        ("broken", _) => "Broken",
        (_, true) => "On",
        (_, false) => "Off",
    }
}

fn columns(switch: Option<Callback<Rule>>) -> Vec<Column<Rule>> {
    let state = move |rule: &Rule| {
        let Some(switch) = switch.clone().filter(|_| rule.kind != "broken") else {
            let tone = if rule.kind == "broken" { Tone::Bad } else { Tone::Plain };
            return html! { <Tag {tone}>{ state_word(rule) }</Tag> };
        };
        let own = rule.clone();
        html! {
            <label class="inline-flex items-center gap-2" title={if rule.enabled { "Its matches raise alerts" } else { "Its matches are kept quiet" }}>
                <input type="checkbox" role="switch" aria-label={format!("{} raises alerts", rule.title)} checked={rule.enabled} onchange={switch.reform(move |_: Event| own.clone())} />
                <span class="text-sm text-ink-2">{ state_word(rule) }</span>
            </label>
        }
    };
    vec![
        Column::new("State", |rule: &Rule| state_word(rule).to_owned()).cell(state).at(Slot::Meta),
        Column::new("Level", |rule: &Rule| severity_word(&rule.severity))
            .cell(|rule| severity(&rule.severity))
            .at(Slot::Value),
        Column::new("Rule", |rule: &Rule| rule.title.clone())
            .cell(|rule| {
                html! {
                    <>
                        { &rule.title }
                        if !rule.error.is_empty() {
                            <span class={classes!("ml-2", "text-sm", "font-normal", if rule.kind == "broken" { "text-bad-ink" } else { "text-warn-ink" })} title={rule.error.clone()}>{ &rule.error }</span>
                        }
                    </>
                }
            })
            .class("font-medium")
            .fill()
            .at(Slot::Title),
        Column::new("Kind", |rule: &Rule| rule.kind.clone())
            .cell(|rule| match rule.kind.as_str() {
                "correlation" => html! { <Tag>{ "Correlation" }</Tag> },
                _ => Html::default(),
            }),
        Column::new("Pack", |rule: &Rule| rule.pack.clone())
            .cell(|rule| if rule.pack.is_empty() { html! { <span class="text-ink-3">{ "own" }</span> } } else { rule.pack.clone().into() })
            .at(Slot::Detail),
        Column::new("Author", |rule: &Rule| rule.author.clone()).class("max-w-44! text-ink-2").cell(|rule| or_dash(&rule.author)),
        Column::new("Place", |rule: &Rule| rule.place.clone()).class("max-w-56! font-mono text-sm text-ink-3").at(Slot::Detail),
    ]
}

#[derive(Clone, PartialEq)]
struct Wanted {
    text: String,
    level: String,
    pack: String,
    kind: String,
}

impl Wanted {
    fn fits(&self, rule: &Rule) -> bool {
        let kind = match self.kind.as_str() {
            "broken" => rule.kind == "broken",
            "on" => rule.kind != "broken" && rule.enabled,
            "off" => rule.kind != "broken" && !rule.enabled,
            _ => true,
        };
        let pack = if self.pack == OWN { rule.pack.is_empty() } else { self.pack.is_empty() || rule.pack == self.pack };
        let all = [&rule.title, &rule.author, &rule.place, &rule.id, &rule.error];
        kind && pack
            && (self.level.is_empty() || rule.severity == self.level)
            && self.text.split_whitespace().all(|word| {
                all.iter().any(|text| text.to_lowercase().contains(word))
                    || rule.tags.iter().any(|tag| tag.to_lowercase().contains(word))
            })
    }
}

#[derive(Properties, PartialEq)]
struct ViewProps {
    /// Tabs, and what is shown.
    views: Html,
}

#[component]
fn Rules(props: &ViewProps) -> Html {
    let (query, set) = use_query();
    let session = use_session();
    let toast = use_toast();
    let may = session.may("radar.rule.write");
    let rules = use_resource::<List<Rule>>(Some("/api/radar/rules".into()), &["table:radar_rules"]);
    let (typed, on_type) = use_search(&query, &set, "q");
    let wanted = Wanted {
        text: query.get("q").to_lowercase(),
        level: query.get("severity").to_owned(),
        pack: query.get("pack").to_owned(),
        kind: query.get("kind").to_owned(),
    };
    let filtered = query.any(&["q", "severity", "pack", "kind"]);
    let rows = use_rows(&rules, wanted, |rule, wanted| wanted.fits(rule));
    let switch = {
        let reload = rules.reload.clone();
        use_callback((), move |rule: Rule, ()| {
            let (toast, reload) = (toast.clone(), reload.clone());
            wasm_bindgen_futures::spawn_local(async move {
                let path = format!("/api/radar/rules?id={}", api::escape(&rule.id));
                let change = RuleChange { enabled: !rule.enabled };
                match api::send::<Done>(Method::PATCH, &path, &change).await {
                    Ok(_) if change.enabled => toast.ok(format!("“{}” raises alerts again", rule.title)),
                    Ok(_) => toast.ok(format!("“{}” is switched off", rule.title)),
                    Err(failure) => toast.bad(&failure),
                }
                reload.emit(());
            });
        })
    };
    let columns = use_memo(may, |may| columns(may.then_some(switch.clone())));
    let open = use_callback(set.clone(), |rule: Rule, set| set.emit(vec![("rule", rule.id)]));
    let close = set.reform(|()| vec![("rule", String::new())]);
    let known = rules.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
    let opened = known.iter().find(|rule| rule.id == query.get("rule")).cloned().map(Rc::new);
    let packs: BTreeSet<&str> = known.iter().map(|rule| rule.pack.as_str()).collect();
    let packs: Vec<(AttrValue, AttrValue)> = std::iter::once(("".into(), "Any pack".into()))
        .chain(packs.into_iter().map(|pack| {
            if pack.is_empty() {
                (OWN.into(), "The box's own".into())
            } else {
                (pack.to_owned().into(), pack.to_owned().into())
            }
        }))
        .collect();
    let count = |kind: &str| {
        let one = Wanted { text: String::new(), level: String::new(), pack: String::new(), kind: kind.to_owned() };
        known.iter().filter(|rule| one.fits(rule)).count() as u64
    };
    let empty = if filtered {
        html! { <Empty title="No rule fits" text="None is like this." /> }
    } else {
        html! {
            <Empty title="No rules yet" text="Rules say what to look for in the logs. SigmaHQ's packs hold some three thousand: download one from its releases and install it here.">
                <Link<Route, Address> to={Route::Detection} query={[("show", "packs".to_owned())].into_iter().collect::<Address>()} classes={LINK}>{ "Packs" }</Link<Route, Address>>
            </Empty>
        }
    };
    html! {
        <>
            <Toolbar>{ props.views.clone() }</Toolbar>
            <Toolbar views=true>
                <span role="group" aria-label="State" class="inline-flex flex-wrap gap-1.5">
                    for (kind, label) in KINDS {
                        <Chip on={query.get("kind") == kind} count={rules.data.is_some().then(|| count(kind))} onclick={set.reform(move |_: MouseEvent| vec![("kind", kind.to_owned())])}>{ label }</Chip>
                    }
                </span>
                <Pick class="w-auto!" label="Level" value={query.get("severity").to_owned()} options={severity_options()} on={set.reform(|value| vec![("severity", value)])} />
                <Pick class="w-auto! max-w-44" label="Pack" value={query.get("pack").to_owned()} options={packs} on={set.reform(|value| vec![("pack", value)])} />
                <Search value={typed} placeholder="Title, author, tag, file" on={on_type} />
            </Toolbar>
            { listed(&rules, 12, |_| html! { <DataTable<Rule> {rows} {columns} name="Rules" on_open={open} {empty} /> }) }
            if let Some(rule) = opened { <Opened key={rule.id.clone()} rule={rule.clone()} {may} on_done={rules.reload.clone()} on_close={close} /> }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct OpenedProps {
    rule: Rc<Rule>,
    may: bool,
    on_done: Callback<()>,
    on_close: Callback<()>,
}

/// One rule.
#[component]
fn Opened(props: &OpenedProps) -> Html {
    let rule = &props.rule;
    let session = use_session();
    let sending = use_sending(&Callback::noop(), &props.on_done);
    let excepting = use_state_eq(|| false);
    if *excepting {
        let from = Excepting {
            rule: rule.id.clone(),
            title: rule.title.clone(),
            fields: vec![Default::default()],
            known: Rc::default(),
        };
        let back = {
            let excepting = excepting.setter();
            Callback::from(move |()| excepting.set(false))
        };
        return html! { <ExceptionDialog {from} on_close={back} on_done={Callback::noop()} /> };
    }
    let broken = rule.kind == "broken";
    let switch = {
        let (sending, path, change) = (
            sending.clone(),
            format!("/api/radar/rules?id={}", api::escape(&rule.id)),
            RuleChange { enabled: !rule.enabled },
        );
        let done = if change.enabled { "The rule raises alerts again" } else { "The rule is switched off" };
        Callback::from(move |()| sending.send(Method::PATCH, path.clone(), change.clone(), done))
    };
    let except = {
        let excepting = excepting.setter();
        Callback::from(move |_: MouseEvent| excepting.set(true))
    };
    let tactics = tactics(&rule.tags);
    let numbers: Vec<String> = rule
        .tags
        .iter()
        .filter_map(|tag| tag.strip_prefix("attack.t").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
        .map(|number| format!("T{number}"))
        .collect();
    let alerts: Address = [("rule", rule.id.clone()), ("state", "all".to_owned())].into_iter().collect();
    let footer = html! {
        <>
            <span class="mr-auto flex flex-wrap gap-2">
                if !broken { <Link<Route, Address> to={Route::Security} query={alerts} classes={LINK}>{ "Its alerts" }</Link<Route, Address>> }
                if !broken && session.may("radar.exception.write") { <Button onclick={except}>{ "Except…" }</Button> }
            </span>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Close" }</Button>
            if props.may && !broken { <Button kind={Kind::Primary} submit=true busy={sending.busy}>{ if rule.enabled { "Switch off" } else { "Switch on" } }</Button> }
        </>
    };
    html! {
        <Dialog title={rule.title.clone()} wide=true on_close={props.on_close.clone()} on_submit={(props.may && !broken).then_some(switch)} {footer}>
            <p class="mb-3 flex flex-wrap items-center gap-3">
                <Tag tone={if broken { Tone::Bad } else if rule.enabled { Tone::Ok } else { Tone::Plain }}>{ state_word(rule) }</Tag>
                if !rule.severity.is_empty() { { severity(&rule.severity) } }
            </p>
            if !rule.error.is_empty() {
                <p role="alert" class={classes!("mb-3", "rounded-md", "px-3", "py-2", if broken { "bg-bad-soft text-bad-ink" } else { "bg-warn-soft text-warn-ink" })}>
                    { &rule.error }<span class="block font-mono text-sm">{ &rule.place }</span>
                </p>
            }
            <dl class="grid grid-cols-[7.5rem_minmax(0,1fr)] gap-y-1">
                <dt class="text-ink-3">{ "Pack" }</dt><dd>{ if rule.pack.is_empty() { "The box's own" } else { &rule.pack } }</dd>
                <dt class="text-ink-3">{ "Place" }</dt><dd class="font-mono text-sm break-all">{ &rule.place }</dd>
                if rule.id != rule.place { <dt class="text-ink-3">{ "Id" }</dt><dd class="font-mono text-sm break-all">{ &rule.id }</dd> }
                <dt class="text-ink-3">{ "Author" }</dt><dd>{ or_dash(&rule.author) }</dd>
                <dt class="text-ink-3">{ "Kind" }</dt><dd>{ sentence(&rule.kind) }</dd>
                if !numbers.is_empty() || !tactics.is_empty() {
                    <dt class="text-ink-3">{ "ATT&CK" }</dt><dd class="flex flex-wrap items-baseline gap-x-2">{ techniques(&numbers) }<span class="text-ink-2">{ tactics.join(", ") }</span></dd>
                }
                <dt class="text-ink-3">{ "Tags" }</dt><dd class="break-words text-ink-2">{ or_dash(&rule.tags.join(", ")) }</dd>
            </dl>
            <Refusal error={sending.error.clone()} />
        </Dialog>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str, pack: &str, enabled: bool) -> Rule {
        Rule {
            id: "1".into(),
            title: "Failed login".into(),
            kind: kind.into(),
            severity: "low".into(),
            author: "Ann".into(),
            tags: vec!["attack.t1110".into()],
            pack: pack.into(),
            place: "linux/failed.yml:1".into(),
            enabled,
            error: String::new(),
        }
    }

    #[test]
    fn filters_fit_together() {
        let all = Wanted { text: String::new(), level: String::new(), pack: String::new(), kind: String::new() };
        let on = rule("detection", "", true);
        assert!(all.fits(&on));
        for (wanted, fits) in [
            (Wanted { text: "t1110 ann".into(), ..all.clone() }, true),
            (Wanted { text: "t1110 bob".into(), ..all.clone() }, false),
            (Wanted { level: "high".into(), ..all.clone() }, false),
            (Wanted { pack: OWN.into(), ..all.clone() }, true),
            (Wanted { pack: "core".into(), ..all.clone() }, false),
            (Wanted { kind: "on".into(), ..all.clone() }, true),
            (Wanted { kind: "off".into(), ..all.clone() }, false),
        ] {
            assert_eq!(wanted.fits(&on), fits);
        }
        assert!(
            !Wanted { kind: "on".into(), ..all.clone() }.fits(&rule("broken", "", true)),
            "a broken rule is not on"
        );
        assert!(Wanted { kind: "broken".into(), ..all }.fits(&rule("broken", "core", true)));
    }
}
