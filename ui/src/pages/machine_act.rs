//! What can be done to one box: a command, a change of what it should be, its revocation.

use super::quarantine::Json;
use crate::components::{Confirm, Field, FormDialog, Pick, TextArea, Toggle, form::options, use_form, use_sending};
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

/// The key of a desired document that has a field of its own, as a JSON pointer. What else a box heeds is in docs/design/0003.
const LOG_LEVEL: &str = "/log/level";

/// The document with this log level, or without one.
fn with_level(document: &Value, level: &str) -> Value {
    let mut document = if document.is_object() { document.clone() } else { json!({}) };
    if let Some(keys) = document.as_object_mut() {
        let mut log = keys.get("log").and_then(Value::as_object).cloned().unwrap_or_default();
        if level.is_empty() {
            log.remove("level");
        } else {
            log.insert("level".to_owned(), level.into());
        }
        if log.is_empty() {
            keys.remove("log");
        } else {
            keys.insert("log".to_owned(), log.into());
        }
    }
    document
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
    let level = document.as_ref().and_then(|document| document.pointer(LOG_LEVEL)?.as_str()).unwrap_or_default();
    let reported = props.reported.pointer(LOG_LEVEL).and_then(Value::as_str);
    let mut levels = vec![("".into(), "As its own settings say".into())];
    levels.extend(options(&LEVELS));
    if !level.is_empty() && !LEVELS.iter().any(|(known, _)| *known == level) {
        levels.push((level.to_owned().into(), level.to_owned().into()));
    }
    let on_level = {
        let document = document.clone();
        text.on(|text: &mut String, next: String| *text = next).reform(move |level: String| {
            let next = with_level(document.as_ref().unwrap_or(&Value::Null), &level);
            serde_json::to_string_pretty(&next).unwrap_or_default()
        })
    };
    let submit = {
        let (sending, path, document) = (sending.clone(), format!("{}/desired", props.base), document.clone());
        Callback::from(move |()| {
            if let Some(document) = document.clone() {
                sending.send(Method::PUT, path.clone(), document, "Desired state changed; the box is called");
            }
        })
    };
    html! {
        <FormDialog title="What this box should be" verb="Save" wide=true sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={wrong.is_some()}>
            <div class="grid items-start gap-3 md:grid-cols-2">
                <Field label="Log level" hint={reported.map(|level| AttrValue::from(format!("The box reports {level}")))}>
                    <Pick name="level" value={level.to_owned()} on={on_level} options={levels} />
                </Field>
                <p class="text-sm text-ink-3 md:pt-6">{ "A box also heeds sync.poll_seconds, pulse.interval and telemetry.raw_days, minute_days and hour_days in the document. What it cannot honour it reports under refused, with the reason." }</p>
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
    fn a_level_is_set_and_taken_away_and_nothing_else_changes() {
        let document = json!({ "log": { "file": "x" }, "other": 1 });
        let with = with_level(&document, "debug");
        assert_eq!(with, json!({ "log": { "file": "x", "level": "debug" }, "other": 1 }));
        assert_eq!(with_level(&with, ""), document);
        assert_eq!(with_level(&json!({ "log": { "level": "info" } }), ""), json!({}));
        assert_eq!(with_level(&Value::Null, "warn"), json!({ "log": { "level": "warn" } }));
    }
}
