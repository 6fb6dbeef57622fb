//! What the pages of radar share: the row of tabs, how a severity, a case and a technique read, an event's fields, the
//! evidence of an alert, the way into the logs, and the dialog that makes an exception.

use crate::{
    components::{
        Button, Field, FormDialog, Icon, Input, Kind, Pick, Tag, Tone, form::options, loaded, status::sentence,
        use_form, use_sending,
    },
    data::use_resource,
    format,
    route::Route,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::{
    Micros, Uuid,
    radar::{AlertDetail, Exception},
};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// Severities, the worst first, with their words.
pub const SEVERITIES: [(&str, &str); 5] = [
    ("critical", "Critical"),
    ("high", "High"),
    ("medium", "Medium"),
    ("low", "Low"),
    ("informational", "Informational"),
];
/// How a case can end, with the words for it.
pub const VERDICTS: [(&str, &str); 3] =
    [("true_positive", "True positive"), ("false_positive", "False positive"), ("benign", "Benign")];
/// What an alert is looked for around: so much before its first and after its last event.
const AROUND: Micros = 300_000_000;
const DAY: Micros = 86_400_000_000;

/// The tabs of security.
#[component]
pub fn Tabs() -> Html {
    let here = use_route::<Route>().unwrap_or(Route::Missing);
    let tabs = [(Route::Security, "Alerts"), (Route::Cases, "Cases"), (Route::Detection, "Rules")];
    html! {
        <nav aria-label="Security" class="inline-flex rounded-md border border-line bg-panel p-0.5">
            for (route, name) in tabs {
                <Link<Route> classes={classes!("rounded-sm", "px-2.5", "py-1", "font-medium", if route == here { "bg-accent-soft text-accent" } else { "text-ink-2 hover:text-ink" })} to={route}>{ name }</Link<Route>>
            }
        </nav>
    }
}

/// A severity's place, from the least on; one that is not known counts as medium, as the server has it.
pub fn rank(severity: &str) -> usize {
    SEVERITIES.iter().rev().position(|(name, _)| *name == severity).unwrap_or(2)
}

/// A severity's word.
pub fn severity_word(severity: &str) -> String {
    let known = SEVERITIES.iter().find(|(name, _)| *name == severity);
    known.map_or_else(|| sentence(severity), |(_, word)| (*word).to_owned())
}

/// A severity for people: bars that fill, and the word.
pub fn severity(name: &str) -> Html {
    if name.is_empty() {
        return html! { <span class="text-ink-3">{ "—" }</span> };
    }
    let rank = rank(name);
    let (fill, ink) = match rank {
        3.. => ("fill-bad", "text-bad-ink font-medium"),
        2 => ("fill-warn", "text-warn-ink"),
        _ => ("fill-ink-3", "text-ink-2"),
    };
    html! {
        <span class={classes!("inline-flex", "items-center", "gap-1.5", "align-middle", "whitespace-nowrap", ink)}>
            <svg viewBox="0 0 15 12" class="h-3 w-[15px] shrink-0" aria-hidden="true">
                for bar in 0..4_usize {
                    <rect x={(bar * 4).to_string()} y={(9 - bar * 3).to_string()} width="3" height={(3 + bar * 3).to_string()} rx="1" class={if bar < rank { fill } else { "fill-line" }} />
                }
            </svg>
            { severity_word(name) }
        </span>
    }
}

/// A severity's colour in a drawing.
pub fn fill(severity: &str) -> &'static str {
    match rank(severity) {
        4.. => "fill-bad",
        3 => "fill-bad/60",
        2 => "fill-warn",
        1 => "fill-ink-3/70",
        _ => "fill-ink-3/40",
    }
}

/// Parts of a whole, side by side: each with its colour and its share of `whole`.
pub fn bar(parts: impl Iterator<Item = (&'static str, f64)>, whole: f64) -> Html {
    let mut at = 0.0;
    let parts = parts.map(|(fill, part)| {
        let width = 100.0 * part / whole.max(f64::MIN_POSITIVE);
        let x = at;
        at += width;
        html! { <rect x={format!("{x:.2}")} y="0" width={format!("{width:.2}")} height="1" class={fill} /> }
    });
    html! {
        <svg viewBox="0 0 100 1" preserveAspectRatio="none" class="block h-1.5 w-full rounded-full bg-line-2" aria-hidden="true">{ for parts }</svg>
    }
}

/// The options of a filter by severity.
pub fn severity_options() -> Vec<(AttrValue, AttrValue)> {
    std::iter::once(("", "Any severity")).chain(SEVERITIES).map(|(value, word)| (value.into(), word.into())).collect()
}

/// Where a case stands, in a word; of a closed one how it ended.
pub fn state_word(state: &str, verdict: &str) -> String {
    let ended = VERDICTS.iter().find(|(name, _)| *name == verdict).map(|(_, word)| *word);
    match (state, ended) {
        ("working", _) => "In work".to_owned(),
        ("closed", Some(word)) => word.to_owned(),
        _ => sentence(state),
    }
}

/// The same as a tag. What nobody looks at yet stands out.
pub fn state_tag(state: &str, verdict: &str) -> Html {
    let tone = match state {
        "open" => Tone::Warn,
        "closed" => Tone::Ok,
        _ => Tone::Plain,
    };
    html! { <Tag {tone}>{ state_word(state, verdict) }</Tag> }
}

/// A word, or a dash where there is none.
pub fn or_dash(text: &str) -> Html {
    if text.is_empty() {
        html! { <span class="text-ink-3">{ "—" }</span> }
    } else {
        text.to_owned().into()
    }
}

/// ATT&CK techniques, each leading to its page there.
pub fn techniques(list: &[String]) -> Html {
    html! {
        <span class="inline-flex flex-wrap gap-x-2 gap-y-1">
            for technique in list.iter() {
                <a key={technique.clone()} href={format!("https://attack.mitre.org/techniques/{}/", technique.replace('.', "/"))} target="_blank" rel="noopener noreferrer"
                    title="On attack.mitre.org" class="font-mono text-sm text-accent hover:underline">{ technique }</a>
            }
        </span>
    }
}

/// The tactics among a rule's tags: `attack.credential-access` reads `Credential access`.
pub fn tactics(tags: &[String]) -> Vec<String> {
    let tactic = |tag: &String| {
        let name = tag.strip_prefix("attack.")?;
        let numbered = name.len() > 1 && name[1..].starts_with(|c: char| c.is_ascii_digit());
        (!numbered).then(|| sentence(&name.replace(['-', '_'], " ")))
    };
    tags.iter().filter_map(tactic).collect()
}

/// `field:"value"` as the search reads it.
pub fn term(field: &str, value: &str) -> String {
    if value.is_empty() {
        return format!("{field}:*");
    }
    let plain = !value.starts_with('-')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@'));
    if plain {
        return format!("{field}:{value}");
    }
    format!("{field}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What of the address leads to a search.
pub type Address = BTreeMap<&'static str, String>;

/// The search for the logs of a host and a user around a time. What names no host (or many) is looked for by its user.
pub fn around(host: &str, user: &str, first: Micros, last: Micros) -> Address {
    let named = |name: &str| !name.is_empty() && name != "(many)";
    let host = named(host).then(|| term("host.name", host));
    let user = named(user).then(|| term("user.name", user));
    let query: Vec<String> = host.into_iter().chain(user).collect();
    BTreeMap::from([
        ("q", query.join(" ")),
        ("from", (first - AROUND).to_string()),
        ("to", (last + AROUND).to_string()),
    ])
}

/// Properties of [`ToLogs`].
#[derive(Properties, PartialEq)]
pub struct ToLogsProps {
    /// Where.
    pub address: Address,
    /// Looks like a button.
    #[prop_or(true)]
    pub button: bool,
    /// What it says.
    pub children: Html,
}

/// A link into the logs, for those who may read them.
#[component]
pub fn ToLogs(props: &ToLogsProps) -> Html {
    if !use_session().may("radar.search") {
        return Html::default();
    }
    let look = if props.button { crate::components::button::LINK } else { "text-accent hover:underline" };
    html! { <Link<Route, Address> to={Route::Logs} query={props.address.clone()} classes={look}>{ props.children.clone() }</Link<Route, Address>> }
}

/// An event's fields; `acts` draws what can be done with one of them.
pub fn fields(list: &[(String, String)], acts: impl Fn(&str, &str) -> Html) -> Html {
    html! {
        <dl class="text-sm">
            for (place, (name, value)) in list.iter().enumerate() {
                <div key={place} class="group grid grid-cols-[minmax(0,2fr)_minmax(0,3fr)_auto] md:grid-cols-[13rem_minmax(0,1fr)_auto] items-baseline gap-x-3 border-b border-line-2 py-1 last:border-0">
                    <dt class="font-mono break-words text-ink-3">{ name }</dt>
                    <dd class="font-mono break-words whitespace-pre-wrap">{ value }</dd>
                    <dd class="flex gap-0.5 self-center opacity-60 group-focus-within:opacity-100 group-hover:opacity-100">{ acts(name, value) }</dd>
                </div>
            }
        </dl>
    }
}

/// A small action beside a field.
pub fn field_act(label: String, icon: &'static str, on: Callback<()>) -> Html {
    html! {
        <Button kind={Kind::Ghost} class="min-h-5! px-1!" {label} onclick={on.reform(|_: MouseEvent| ())}><Icon name={icon} class="size-3.5" /></Button>
    }
}

/// An event as it arrived.
pub fn original(text: &str) -> Html {
    html! { <pre class="max-h-48 overflow-auto rounded-md border border-line-2 bg-bg px-2.5 py-2 font-mono text-sm break-words whitespace-pre-wrap">{ text }</pre> }
}

/// Properties of [`Evidence`].
#[derive(Properties, PartialEq)]
pub struct EvidenceProps {
    /// The alert.
    pub alert: Uuid,
    /// An exception is wanted from a field, of this rule and with all fields of the event.
    pub on_except: Callback<Excepting>,
}

/// What an alert was raised for: its rule's own words and the first event.
#[component]
pub fn Evidence(props: &EvidenceProps) -> Html {
    let detail = use_resource::<AlertDetail>(Some(format!("/api/radar/alerts/{}", props.alert)), &[]);
    let may = use_session().may("radar.exception.write");
    loaded(&detail, 6, |detail| {
        let except = |name: &str, value: &str| {
            if !may {
                return Html::default();
            }
            let wanted = Excepting {
                rule: detail.alert.rule.clone(),
                title: detail.alert.title.clone(),
                fields: vec![(name.to_owned(), value.to_owned())],
                known: Rc::new(detail.fields.clone()),
            };
            field_act(format!("Make an exception of {name}"), "mute", props.on_except.reform(move |()| wanted.clone()))
        };
        html! { { evidence(detail, except) } }
    })
}

fn heading(text: &'static str) -> Html {
    html! { <h3 class="mt-3.5 mb-1 text-sm font-semibold text-ink-2">{ text }</h3> }
}

fn evidence(detail: &AlertDetail, except: impl Fn(&str, &str) -> Html) -> Html {
    let tactics = tactics(&detail.tags);
    html! {
        <>
            if !detail.description.is_empty() {
                <p class="whitespace-pre-line text-ink-2">{ detail.description.trim() }</p>
            }
            <dl class="mt-2 grid grid-cols-[7.5rem_minmax(0,1fr)] gap-y-1">
                if !detail.alert.techniques.is_empty() || !tactics.is_empty() {
                    <dt class="text-ink-3">{ "ATT&CK" }</dt>
                    <dd class="flex flex-wrap items-baseline gap-x-2">{ techniques(&detail.alert.techniques) }<span class="text-ink-2">{ tactics.join(", ") }</span></dd>
                }
                <dt class="text-ink-3">{ "Rule by" }</dt><dd>{ or_dash(&detail.alert.author) }</dd>
                if !detail.source.is_empty() {
                    <dt class="text-ink-3">{ "Came from" }</dt><dd class="break-words">{ &detail.source }</dd>
                }
                for (name, value) in detail.group.iter() {
                    <dt key={name.clone()} class="break-words text-ink-3">{ name }</dt><dd class="break-words">{ value }</dd>
                }
                if !detail.false_positives.is_empty() {
                    <dt class="text-ink-3">{ "May also be" }</dt>
                    <dd><ul>{ for detail.false_positives.iter().map(|line| html! { <li>{ line }</li> }) }</ul></dd>
                }
            </dl>
            { heading("The event as it arrived") }
            { original(&detail.original) }
            { heading("Its fields") }
            { fields(&detail.fields, except) }
        </>
    }
}

/// What an exception is begun with.
#[derive(Clone, Debug, PartialEq)]
pub struct Excepting {
    /// The rule's id; empty: all rules.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// Fields that must have these values.
    pub fields: Vec<(String, String)>,
    /// All fields of the event it is made from.
    pub known: Rc<Vec<(String, String)>>,
}

/// Properties of [`ExceptionDialog`].
#[derive(Properties, PartialEq)]
pub struct ExceptionProps {
    /// What it begins with.
    pub from: Excepting,
    /// Left.
    pub on_close: Callback<()>,
    /// Made.
    pub on_done: Callback<()>,
}

#[derive(Clone, PartialEq)]
struct Draft {
    rule: String,
    fields: Vec<(String, String)>,
    days: String,
    reason: String,
}

/// Makes an exception.
#[component]
pub fn ExceptionDialog(props: &ExceptionProps) -> Html {
    let from = &props.from;
    let form = use_form(|| Draft {
        rule: from.rule.clone(),
        // One to fill in, where none was chosen.
        fields: if from.fields.is_empty() && from.rule.is_empty() {
            vec![Default::default()]
        } else {
            from.fields.clone()
        },
        days: "30".to_owned(),
        reason: String::new(),
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (form, sending) = (form.clone(), sending.clone());
        Callback::from(move |()| {
            let days = form.days.parse::<i64>().ok();
            let fields = form.fields.iter().filter(|(name, _)| !name.trim().is_empty());
            let body = Exception {
                id: Uuid::nil(),
                rule: form.rule.clone(),
                fields: fields.map(|(name, value)| (name.trim().to_owned(), value.clone())).collect(),
                reason: form.reason.clone(),
                expires_at: days.map(|days| format::now() + days * DAY),
                author: String::new(),
                created_at: 0,
            };
            sending.send(Method::POST, "/api/radar/exceptions", body, "Exception made: what fits it raises no alert");
        })
    };
    let mut rules = vec![(AttrValue::from(""), AttrValue::from("All rules"))];
    if !from.rule.is_empty() {
        rules.insert(0, (from.rule.clone().into(), from.title.clone().into()));
    }
    let add = form.on(|form, (): ()| form.fields.push(Default::default()));
    html! {
        <FormDialog title="Make an exception" verb="Make exception" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={form.reason.trim().is_empty()}>
            <p class="mb-3 text-ink-2">{ "Events that have all of these values raise no alert. They stay in the logs, and what was found before stays as well." }</p>
            <datalist id="event-fields">{ for from.known.iter().map(|(name, _)| html! { <option value={name.clone()} /> }) }</datalist>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Rule" error={sending.field("rule")}><Pick name="rule" value={form.rule.clone()} options={rules} on={form.on(|form, rule| form.rule = rule)} /></Field>
                <Field label="Ends" error={sending.field("expires_at")}>
                    <Pick name="days" value={form.days.clone()} on={form.on(|form, days| form.days = days)}
                        options={options(&[("1", "In a day"), ("7", "In a week"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), ("", "Never")])} />
                </Field>
                <fieldset class="flex flex-col gap-1.5 md:col-span-2">
                    <legend class="mb-1 text-sm font-medium text-ink-2">{ "Where" }</legend>
                    for (at, (name, value)) in form.fields.iter().enumerate() {
                        <div key={at} class="flex items-center gap-1.5">
                            <Input class="font-mono" label={format!("Field {}", at + 1)} list="event-fields" placeholder="user.name" value={name.clone()} on={known_field(&form, at, &from.known)} />
                            <span class="text-ink-3">{ "is" }</span>
                            <Input class="font-mono" label={format!("Value {}", at + 1)} placeholder="backup*" value={value.clone()} on={form.on(|form, (at, text): (usize, String)| form.fields[at].1 = text).reform(move |text| (at, text))} />
                            <Button kind={Kind::Ghost} class="px-1.5" label="Leave this field out" onclick={form.on(|form, at: usize| drop(form.fields.remove(at))).reform(move |_: MouseEvent| at)}><Icon name="close" class="size-3" /></Button>
                        </div>
                    }
                    if form.fields.is_empty() { <p class="text-ink-3">{ "Any event: this rule is kept quiet altogether." }</p> }
                    <div class="flex items-center gap-2">
                        <Button class="min-h-7!" onclick={add.reform(|_: MouseEvent| ())}><Icon name="plus" class="size-3" />{ "Another field" }</Button>
                        <span class="text-sm text-ink-3">{ "* stands for any text" }</span>
                    </div>
                    if let Some(error) = sending.field("fields") { <span role="alert" class="text-sm text-bad-ink">{ sentence(&error) }</span> }
                </fieldset>
                <Field label="Why" class="md:col-span-2" error={sending.field("reason")} hint="For whoever reads it in a year">
                    <Input name="reason" autofocus=true value={form.reason.clone()} on={form.on(|form, text| form.reason = text)} placeholder="The backup does this every night" />
                </Field>
            </div>
        </FormDialog>
    }
}

/// What typing a field's name does: the event's own value comes along.
fn known_field(
    form: &crate::components::form::Form<Draft>,
    at: usize,
    known: &Rc<Vec<(String, String)>>,
) -> Callback<String> {
    let known = known.clone();
    form.on(|form, (at, name, value): (usize, String, Option<String>)| {
        form.fields[at].0 = name;
        if let Some(value) = value {
            form.fields[at].1 = value;
        }
    })
    .reform(move |name: String| {
        let value = known.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone());
        (at, name, value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_ranked_from_the_least_on() {
        let ranks: Vec<usize> = SEVERITIES.iter().map(|(name, _)| rank(name)).collect();
        assert_eq!(ranks, [4, 3, 2, 1, 0]);
        assert_eq!(rank("unheard of"), 2);
    }

    #[test]
    fn each_severity_has_a_colour_of_its_own() {
        let mut fills = SEVERITIES.map(|(name, _)| fill(name)).to_vec();
        fills.dedup();
        assert_eq!(fills.len(), SEVERITIES.len());
    }

    #[test]
    fn tactics_are_told_from_techniques_and_groups() {
        let tags = ["attack.credential-access", "attack.t1110", "attack.g0016", "cve.2021.1", "attack.defense_evasion"];
        assert_eq!(tactics(&tags.map(str::to_owned)), ["Credential access", "Defense evasion"]);
    }

    #[test]
    fn terms_are_quoted_where_they_must_be() {
        assert_eq!(term("user.name", "eve"), "user.name:eve");
        assert_eq!(term("file.path", r"C:\a b"), r#"file.path:"C:\\a b""#);
        assert_eq!(term("message", r#"say "so""#), r#"message:"say \"so\"""#);
        assert_eq!(term("a", "x*"), r#"a:"x*""#, "a star would stand for any text");
        assert_eq!(term("a", ""), "a:*", "quotes want something between them");
    }

    #[test]
    fn the_logs_around_an_alert() {
        let address = around("web-1", "", 1_000_000_000, 2_000_000_000);
        assert_eq!(address["q"], "host.name:web-1");
        assert_eq!((address["from"].as_str(), address["to"].as_str()), ("700000000", "2300000000"));
        assert_eq!(around("(many)", "eve", 0, 0)["q"], "user.name:eve");
    }
}
