//! One action on many boxes. It always begins with a dry run that says what would happen to which box, and why not to
//! which others; only then can it be done.

use crate::{
    api::{self, Failure, with_query},
    components::{Button, Dialog, Field, Input, Kind, Pick, Tag, TextArea, Tone, status::sentence, use_toast},
    format,
};
use sent_contract::{
    Uuid,
    fleet::{BulkAction, BulkOutcome},
    identity::Named,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, rc::Rc};
use yew::prelude::*;

/// Value, label and what it does, of every action.
const ACTIONS: [(&str, &str, &str); 10] = [
    ("command:sync_now", "Sync now", "Asks the boxes to send what waits at once."),
    ("command:identify", "Identify", "The box shows itself to whoever stands before it."),
    ("command:collect_diagnostics", "Collect diagnostics", "A report of the box's state is uploaded."),
    (
        "command:verify_audit",
        "Verify audit chain",
        "The box reads its whole audit chain and reports the first broken link.",
    ),
    ("command:set_log_level", "Set log level", "How much the boxes write down."),
    ("command:restart", "Restart", "The box's program restarts; people there wait a few seconds."),
    ("tag:add", "Add a tag", "Tags group boxes in lists and actions."),
    ("tag:remove", "Remove a tag", "Boxes without it are skipped."),
    ("desired:merge", "Merge into desired state", "A JSON document merged into what each box should be."),
    ("revoke", "Revoke", "The boxes can never sync again with their present identity. This cannot be undone."),
];

/// Properties of [`Bulk`].
#[derive(Properties, PartialEq)]
pub struct BulkProps {
    /// These boxes; if empty, those that match the filter.
    pub boxes: Rc<BTreeSet<String>>,
    /// The list's query string.
    pub filter: AttrValue,
    /// How many match it.
    pub matching: u64,
    /// Closed.
    pub on_close: Callback<()>,
    /// Done.
    pub on_done: Callback<()>,
}

/// The dialog.
#[component]
pub fn Bulk(props: &BulkProps) -> Html {
    let toast = use_toast();
    let action = use_state(|| ACTIONS[0].0.to_owned());
    let argument = use_state(String::new);
    let wrong = use_state(|| None::<String>);
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let plan = use_state(|| None::<(BulkAction, BulkOutcome)>);

    let send = {
        let (busy, error, plan, toast) = (busy.clone(), error.clone(), plan.clone(), toast);
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |(action, dry): (BulkAction, bool)| {
            let (busy, error, plan, toast) = (busy.clone(), error.clone(), plan.clone(), toast.clone());
            let (on_close, on_done) = (on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                let path = with_query("/api/fleet/actions", &[("dry_run", dry.to_string())]);
                let outcome = api::post::<BulkOutcome>(&path, &action).await;
                busy.set(false);
                match outcome {
                    Ok(outcome) if dry => plan.set(Some((action, outcome))),
                    Ok(outcome) => {
                        toast.ok(format!("Done on {}", format::counted(outcome.affected.len() as u64, "box", "boxes")));
                        on_done.emit(());
                        on_close.emit(());
                    }
                    Err(failure) => error.set(Some(failure)),
                }
            });
        })
    };
    let preview = {
        let (action, argument, wrong, error, send) =
            (action.clone(), argument.clone(), wrong.clone(), error.clone(), send.clone());
        let (boxes, filter) = (props.boxes.clone(), props.filter.clone());
        Callback::from(move |()| {
            error.set(None);
            match arguments(&action, &argument) {
                Ok(arguments) => {
                    wrong.set(None);
                    let boxes: Vec<Uuid> = boxes.iter().filter_map(|id| id.parse().ok()).collect();
                    let filter = boxes.is_empty().then(|| filter.to_string());
                    send.emit((
                        BulkAction { boxes, filter, action: (*action).clone(), arguments, expires_in: None },
                        true,
                    ));
                }
                Err(message) => wrong.set(Some(message)),
            }
        })
    };
    let help = ACTIONS.iter().find(|(value, ..)| *value == *action).map_or("", |(.., help)| help);
    let on_action = {
        let (action, wrong) = (action.clone(), wrong.clone());
        Callback::from(move |value| {
            action.set(value);
            wrong.set(None);
        })
    };
    let on_argument = {
        let argument = argument.clone();
        Callback::from(move |text| argument.set(text))
    };
    let problem = error
        .as_ref()
        .map(|error| html! { <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p> });

    if let Some((planned, outcome)) = &*plan {
        let back = {
            let plan = plan.clone();
            Callback::from(move |_: MouseEvent| plan.set(None))
        };
        let affected = outcome.affected.len() as u64;
        let run = {
            let (send, planned) = (send, planned.clone());
            Callback::from(move |()| send.emit((planned.clone(), false)))
        };
        let kind = if planned.action == "revoke" { Kind::Danger } else { Kind::Primary };
        let footer = html! {
            <>
                <Button onclick={back}>{ "Back" }</Button>
                <Button {kind} submit=true busy={*busy} disabled={affected == 0}>{ format!("Do it on {}", format::counted(affected, "box", "boxes")) }</Button>
            </>
        };
        return html! {
            <Dialog title="Dry run: nothing was changed yet" wide=true on_close={props.on_close.clone()} on_submit={run} {footer}>
                <Outcome title="Would happen" rows={outcome.affected.clone()} tone={Tone::Ok} />
                if !outcome.skipped.is_empty() {
                    <Outcome title="Would be skipped" rows={outcome.skipped.clone()} tone={Tone::Warn} />
                }
                { problem }
            </Dialog>
        };
    }
    let count = if props.boxes.is_empty() { props.matching } else { props.boxes.len() as u64 };
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy}>{ "Show what would happen" }</Button>
        </>
    };
    html! {
        <Dialog title={format!("Act on {}", format::counted(count, "box", "boxes"))} on_close={props.on_close.clone()} on_submit={preview} {footer}>
            <div class="flex flex-col gap-3">
                <Field label="Action" hint={help}>
                    <Pick name="action" value={(*action).clone()} on={on_action}
                        options={ACTIONS.iter().map(|(value, label, _)| ((*value).into(), (*label).into())).collect::<Vec<_>>()} />
                </Field>
                { match action.as_str() {
                    "tag:add" | "tag:remove" => html! {
                        <Field label="Tag" error={(*wrong).clone()}><Input name="tag" value={(*argument).clone()} on={on_argument} placeholder="retail" /></Field>
                    },
                    "command:set_log_level" => html! {
                        <Field label="Level" error={(*wrong).clone()}>
                            <Pick value={(*argument).clone()} on={on_argument} options={["", "error", "warn", "info", "debug", "trace"].map(|level| (level.into(), level.into())).to_vec()} />
                        </Field>
                    },
                    "desired:merge" => html! {
                        <Field label="Document" error={(*wrong).clone()} hint="A JSON object; null removes a key. Boxes act on log.level">
                            <TextArea mono=true value={(*argument).clone()} on={on_argument} placeholder={"{\"log\": {\"level\": \"debug\"}}"} />
                        </Field>
                    },
                    _ => Html::default(),
                } }
            </div>
            { problem }
        </Dialog>
    }
}

/// An action's arguments, or what is wrong with what was typed.
fn arguments(action: &str, typed: &str) -> Result<Value, String> {
    let typed = typed.trim();
    match action {
        "tag:add" | "tag:remove" if typed.is_empty() => Err("a tag has at least one letter".to_owned()),
        "tag:add" | "tag:remove" => Ok(json!({ "tag": typed })),
        "command:set_log_level" if typed.is_empty() => Err("choose a level".to_owned()),
        "command:set_log_level" => Ok(json!({ "level": typed })),
        "desired:merge" => match serde_json::from_str::<Value>(typed) {
            Ok(document @ Value::Object(_)) => Ok(document),
            Ok(_) => Err("it must be a JSON object".to_owned()),
            Err(cause) => Err(format!("not JSON: {cause}")),
        },
        _ => Ok(json!({})),
    }
}

/// Properties of [`Outcome`].
#[derive(Properties, PartialEq)]
pub struct OutcomeProps {
    /// Heading.
    pub title: &'static str,
    /// Boxes, and what becomes of each.
    pub rows: Vec<(Named, String)>,
    /// Whether that is good.
    pub tone: Tone,
}

/// What an action does to boxes, or why it does nothing.
#[component]
pub fn Outcome(props: &OutcomeProps) -> Html {
    html! {
        <section class="mb-4 last:mb-0">
            <h3 class="mb-1.5 flex items-center gap-2 font-semibold">{ props.title }<Tag tone={props.tone}>{ format::count(props.rows.len() as u64) }</Tag></h3>
            <ul class="max-h-64 overflow-auto rounded-md border border-line">
                for (row, what) in props.rows.iter() {
                    <li key={row.id.to_string()} class="flex gap-3 border-b border-line-2 px-3 py-1.5 last:border-0">
                        <span class="w-40 shrink-0 truncate font-medium">{ &row.name }</span><span class="text-ink-2">{ sentence(what) }</span>
                    </li>
                }
            </ul>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::arguments;
    use serde_json::json;

    #[test]
    fn arguments_are_checked_before_they_are_sent() {
        assert_eq!(arguments("tag:add", " retail "), Ok(json!({ "tag": "retail" })));
        assert!(arguments("tag:add", " ").is_err());
        assert!(arguments("desired:merge", "[1]").is_err());
        assert!(arguments("desired:merge", "{").is_err());
        assert_eq!(arguments("command:identify", ""), Ok(json!({})));
    }
}
