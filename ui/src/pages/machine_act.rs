//! What can be done to one box: a command, a change of what it should be, its revocation.

use super::quarantine::Json;
use crate::components::{
    Confirm, Field, FormDialog, Input, Pick, TextArea, Toggle, form::options, use_form, use_sending,
};
use gloo_net::http::Method;
use serde_json::{Value, json};
use yew::prelude::*;

/// Properties of [`SendCommand`].
#[derive(Properties, PartialEq)]
pub struct ChangeProps {
    /// The box's path.
    pub base: String,
    /// Closed.
    pub on_close: Callback<()>,
    /// Done.
    pub on_done: Callback<()>,
}

const COMMANDS: [(&str, &str); 6] = [
    ("sync_now", "Sync now"),
    ("identify", "Identify"),
    ("collect_diagnostics", "Collect diagnostics"),
    ("verify_audit", "Verify audit chain"),
    ("set_log_level", "Set log level"),
    ("restart", "Restart"),
];

/// How much a box writes down.
const LEVELS: [(&str, &str); 5] = [
    ("error", "Errors only"),
    ("warn", "Warnings"),
    ("info", "Information"),
    ("debug", "Debug"),
    ("trace", "Everything"),
];

/// Sends a command.
#[component]
pub fn SendCommand(props: &ChangeProps) -> Html {
    let kind = use_form(|| COMMANDS[0].0.to_owned());
    let level = use_form(|| "info".to_owned());
    let expires = use_form(|| "3600".to_owned());
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (kind, level, expires, sending) = (kind.clone(), level.clone(), expires.clone(), sending.clone());
        let path = format!("{}/commands", props.base);
        Callback::from(move |()| {
            let arguments = if *kind == "set_log_level" { json!({ "level": *level }) } else { json!({}) };
            let body =
                json!({ "kind": *kind, "arguments": arguments, "expires_in": expires.parse::<u32>().unwrap_or(3600) });
            sending.send(Method::POST, path.clone(), body, "Command queued; the box is called");
        })
    };
    let set = |text: &mut String, chosen| *text = chosen;
    html! {
        <FormDialog title="Send a command" verb="Send" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Command"><Pick name="kind" value={(*kind).clone()} on={kind.on(set)} options={options(&COMMANDS)} /></Field>
                <Field label="Expires after"><Pick value={(*expires).clone()} on={expires.on(set)} options={options(&[("300", "5 minutes"), ("3600", "1 hour"), ("86400", "1 day"), ("604800", "1 week")])} /></Field>
                if *kind == "set_log_level" {
                    <Field label="Level"><Pick value={(*level).clone()} on={level.on(set)} options={options(&LEVELS)} /></Field>
                }
            </div>
            <p class="mt-3 text-sm text-ink-3">{ "A box that is offline gets it when it comes back, unless it has expired by then." }</p>
        </FormDialog>
    }
}

/// Properties of [`EditDesired`].
#[derive(Properties, PartialEq)]
pub struct DesiredProps {
    /// The box's path.
    pub base: String,
    /// What it should be now.
    pub desired: Value,
    /// What it says it is.
    pub reported: Value,
    /// Closed.
    pub on_close: Callback<()>,
    /// Done.
    pub on_done: Callback<()>,
}

/// The key of a desired document that says how much a box writes down: section and name.
const LOG_LEVEL: (&str, &str) = ("log", "level");

/// A number that a box heeds: where it stands in the document, what it is called, from what to what it goes.
struct Knob {
    at: (&'static str, &'static str),
    label: &'static str,
    from: u32,
    to: u32,
}

const fn knob(section: &'static str, name: &'static str, label: &'static str, from: u32, to: u32) -> Knob {
    Knob { at: (section, name), label, from, to }
}

/// Every number that a box heeds, with the bounds that it keeps to.
const KNOBS: [Knob; 5] = [
    knob("sync", "poll_seconds", "Asks the cloud every, seconds", 5, 3_600),
    knob("pulse", "interval", "Measures itself every, seconds", 1, 300),
    knob("telemetry", "raw_days", "Keeps points for, days", 1, 90),
    knob("telemetry", "minute_days", "Keeps minutes for, days", 1, 1_100),
    knob("telemetry", "hour_days", "Keeps hours for, days", 1, 36_500),
];

impl Knob {
    /// What is wrong with this value, if anything.
    fn fault(&self, value: &Value) -> Option<String> {
        let good = value.as_u64().is_some_and(|number| (self.from.into()..=self.to.into()).contains(&number));
        (!good).then(|| format!("a whole number from {} to {}", self.from, self.to))
    }
}

fn leaf<'a>(document: &'a Value, (section, name): (&str, &str)) -> Option<&'a Value> {
    document.get(section)?.get(name)
}

/// The document with this value, or without it; a section that holds nothing any more goes.
fn with(document: &Value, (section, name): (&str, &str), value: Option<Value>) -> Value {
    let mut document = if document.is_object() { document.clone() } else { json!({}) };
    if let Some(keys) = document.as_object_mut() {
        let mut inner = keys.get(section).and_then(Value::as_object).cloned().unwrap_or_default();
        match value {
            Some(value) => drop(inner.insert(name.to_owned(), value)),
            None => drop(inner.remove(name)),
        }
        if inner.is_empty() {
            keys.remove(section);
        } else {
            keys.insert(section.to_owned(), inner.into());
        }
    }
    document
}

/// What a field's text means in the document; what is no number stays as it was typed, and is told to be wrong.
fn typed(text: &str) -> Option<Value> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.parse::<u32>().map_or_else(|_| text.into(), Value::from))
}

/// Changes what the box should be: the keys it acts on as fields, and the whole document for those who want it.
#[component]
pub fn EditDesired(props: &DesiredProps) -> Html {
    let text = use_form(|| serde_json::to_string_pretty(&props.desired).unwrap_or_else(|_| "{}".to_owned()));
    let whole = use_form(|| false);
    let sending = use_sending(&props.on_close, &props.on_done);
    let parsed = serde_json::from_str::<Value>(&text);
    let wrong = match &parsed {
        Ok(Value::Object(_)) => None,
        Ok(_) => Some("it must be a JSON object".to_owned()),
        Err(cause) => Some(format!("not JSON: {cause}")),
    };
    let document = parsed.ok().filter(Value::is_object);
    let known = document.clone().unwrap_or_default();
    let level = leaf(&known, LOG_LEVEL).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut levels = vec![("".into(), "As its own settings say".into())];
    levels.extend(options(&LEVELS));
    if !level.is_empty() && !LEVELS.iter().any(|(known, _)| *known == level) {
        levels.push((level.clone().into(), level.clone().into()));
    }
    let change = |at: (&'static str, &'static str)| {
        let known = known.clone();
        text.on(|text: &mut String, next: String| *text = next).reform(move |value: String| {
            // A level is a word, also one that looks like a number.
            let value = if at == LOG_LEVEL { (!value.is_empty()).then(|| value.into()) } else { typed(&value) };
            serde_json::to_string_pretty(&with(&known, at, value)).unwrap_or_default()
        })
    };
    let hint = |at: (&str, &str)| {
        let value = leaf(&props.reported, at).map(super::audit::plain)?;
        Some(AttrValue::from(format!("The box reports {value}")))
    };
    let numbers = KNOBS.iter().map(|knob| {
        let value = leaf(&known, knob.at);
        let error = value.and_then(|value| knob.fault(value));
        html! {
            <Field label={knob.label} error={error.clone()} hint={hint(knob.at)}>
                <Input name={knob.at.1} mode="numeric" placeholder="As its own settings say" invalid={error.is_some()}
                    value={value.map(super::audit::plain).unwrap_or_default()} on={change(knob.at)} />
            </Field>
        }
    });
    let faulty = KNOBS.iter().any(|knob| leaf(&known, knob.at).is_some_and(|value| knob.fault(value).is_some()));
    let submit = {
        let (sending, path, document) = (sending.clone(), format!("{}/desired", props.base), document.clone());
        Callback::from(move |()| {
            if let Some(document) = document.clone() {
                sending.send(Method::PUT, path.clone(), document, "Desired state changed; the box is called");
            }
        })
    };
    html! {
        <FormDialog title="What this box should be" verb="Save" wide=true sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={wrong.is_some() || faulty}>
            <div class="grid items-start gap-3 md:grid-cols-2">
                <Field label="Log level" hint={hint(LOG_LEVEL)}>
                    <Pick name="level" value={level} on={change(LOG_LEVEL)} options={levels} />
                </Field>
                { for numbers }
                <p class="text-sm text-ink-3 md:col-span-2">{ "What is empty is as the box's own settings say. A box heeds these at once; it reports any other key as refused." }</p>
                <div class="md:col-span-2"><Toggle checked={*whole} on={whole.on(|whole, on| *whole = on)} label="Show the whole document" /></div>
                if *whole || wrong.is_some() {
                    <Field label="Document" class="md:col-span-2" error={wrong.clone()} hint="A JSON object. The box reports back what it became.">
                        <TextArea mono=true rows=10 invalid={wrong.is_some()} value={(*text).clone()} on={text.on(|text, typed| *text = typed)} />
                    </Field>
                    <details class="md:col-span-2"><summary class="text-ink-2">{ "As it is now" }</summary><Json value={props.desired.clone()} /></details>
                }
            </div>
        </FormDialog>
    }
}

/// Properties of [`Revoke`].
#[derive(Properties, PartialEq)]
pub struct RevokeProps {
    /// The box's path.
    pub base: String,
    /// Its name.
    pub name: String,
    /// Closed.
    pub on_close: Callback<()>,
    /// Done.
    pub on_done: Callback<()>,
}

/// Takes a box its identity, after saying what that means.
#[component]
pub fn Revoke(props: &RevokeProps) -> Html {
    let sending = use_sending(&props.on_close, &props.on_done);
    let confirm = {
        let (sending, path) = (sending.clone(), format!("{}/revoke", props.base));
        Callback::from(move |()| sending.act(Method::POST, path.clone(), "Revoked"))
    };
    html! {
        <Confirm title={format!("Revoke {}", props.name)} verb="Revoke this box" busy={sending.busy} error={sending.error.clone()} on_confirm={confirm} on_close={props.on_close.clone()}>
            <p>{ "One box loses its certificate at once: it cannot sync or take commands any more. Its branch goes on working with what it has, and nothing here is deleted. To bring it back, claim it anew." }</p>
        </Confirm>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_and_taken_away_and_nothing_else_changes() {
        let document = json!({ "log": { "file": "x" }, "other": 1 });
        let debug = with(&document, LOG_LEVEL, Some("debug".into()));
        assert_eq!(debug, json!({ "log": { "file": "x", "level": "debug" }, "other": 1 }));
        assert_eq!(with(&debug, LOG_LEVEL, None), document);
        assert_eq!(with(&json!({ "log": { "level": "info" } }), LOG_LEVEL, None), json!({}));
        assert_eq!(with(&Value::Null, ("pulse", "interval"), typed(" 20 ")), json!({ "pulse": { "interval": 20 } }));
    }

    #[test]
    fn a_number_is_told_to_be_wrong() {
        let knob = &KNOBS[1];
        assert_eq!(knob.fault(&json!(300)), None);
        assert!([json!(0), json!(301), json!(-1), json!("often"), json!(1.5)].iter().all(|v| knob.fault(v).is_some()));
        assert_eq!((typed("often"), typed(" ")), (Some(json!("often")), None));
    }
}
