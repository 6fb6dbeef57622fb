//! One box: what it should be against what it says it is, commands, telemetry, epochs and gaps, revocation.

use super::{explore::Explorer, quarantine::Json};
use crate::{
    api::{self, Done, Failure},
    components::{
        Ago, Button, Card, Confirm, Dialog, Dot, Empty, Field, Kind, Kpi, Pick, Since, StatusLine, Tag, TextArea, Tone,
        Until, loaded, status::sentence, use_toast,
    },
    data::{use_query, use_resource},
    format,
};
use gloo_net::http::Method;
use sent_contract::fleet::{BoxDetail, Command, EpochRow};
use serde_json::{Value, json};
use std::rc::Rc;
use yew::prelude::*;

/// Properties of [`Machine`].
#[derive(Properties, PartialEq)]
pub struct MachineProps {
    /// Box id.
    pub id: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Open {
    Command,
    Desired,
    Revoke,
}

/// The page.
#[component]
pub fn Machine(props: &MachineProps) -> Html {
    let base = format!("/api/fleet/boxes/{}", api::escape(&props.id));
    let detail = use_resource::<BoxDetail>(Some(base.clone()), &["fleet.boxes"]);
    if detail.data.is_none() {
        return html! { <Card pad=false>{ loaded(&detail, 10, |_| Html::default()) }</Card> };
    }
    loaded(&detail, 10, |data| html! { <Full detail={data.clone()} {base} reload={detail.reload.clone()} /> })
}

#[derive(Properties, PartialEq)]
struct FullProps {
    detail: Rc<BoxDetail>,
    base: String,
    reload: Callback<()>,
}

#[component]
fn Full(props: &FullProps) -> Html {
    let detail = &props.detail;
    let row = &detail.row;
    let (query, set) = use_query();
    let open = use_state_eq(|| None::<Open>);
    let show = |what: Option<Open>| {
        let open = open.clone();
        Callback::from(move |()| open.set(what))
    };
    let revoked = detail.revoked_at.is_some();
    html! {
        <>
            <Card>
                <div class="flex flex-wrap items-start gap-x-4 gap-y-2">
                    <div class="min-w-0 flex-1">
                        <h2 class="text-lg font-semibold">{ &row.name }</h2>
                        <p class="text-ink-3">
                            { &row.branch.name }{ " · " }
                            <a class="hover:underline" href={format!("/boxes?organization={}", row.organization.id)}>{ &row.organization.name }</a>
                            { for row.tags.iter().map(|tag| html! { <>{ " " }<Tag>{ tag }</Tag></> }) }
                        </p>
                        <p class="mt-1.5 text-[14px] font-medium"><StatusLine status={row.status.clone()} since=true /></p>
                    </div>
                    <div class="flex flex-wrap gap-2">
                        <Button kind={Kind::Danger} disabled={revoked} onclick={show(Some(Open::Revoke)).reform(|_: MouseEvent| ())}>{ "Revoke…" }</Button>
                        <Button onclick={show(Some(Open::Desired)).reform(|_: MouseEvent| ())}>{ "Edit desired…" }</Button>
                        <Button kind={Kind::Primary} disabled={revoked} onclick={show(Some(Open::Command)).reform(|_: MouseEvent| ())}>{ "Send command…" }</Button>
                    </div>
                </div>
            </Card>
            <div class="grid shrink-0 grid-cols-2 gap-3.5 lg:grid-cols-4">
                <Kpi label="Behind" value={format::counted(row.behind, "entry", "entries")} note={row.lag_seconds.map_or_else(|| "lag not measured".to_owned(), |lag| format!("last took {}", format::measure(lag, "seconds")))} />
                <Kpi label="Last contact" value={html! { <Ago at={row.last_seen} /> }} note={format!("version {}", row.version)} />
                <Kpi label="Epoch" value={detail.epoch.to_string()} note={format!("{} transactions", format::count(detail.sequence))} />
                <Kpi label="Certificate" value={html! { <Until at={detail.certificate_expires} /> }} note={html! { <>{ "enrolled " }<Ago at={detail.enrolled_at} /></> }} />
            </div>
            <div class="grid grid-cols-1 shrink-0 items-start gap-3.5 lg:grid-cols-2">
                <Documents detail={detail.clone()} />
                <Card title="Commands" pad=false aside={html! { { format::count(detail.commands.len() as u64) } }}>
                    if detail.commands.is_empty() {
                        <Empty title="No commands yet" text="A command waits for the box, expires, and is done at most once." />
                    } else {
                        <ul class="max-h-80 overflow-auto">{ for detail.commands.iter().map(command) }</ul>
                    }
                </Card>
            </div>
            <section class="flex shrink-0 flex-col gap-3.5" aria-label="Telemetry">
                <Explorer series_path={format!("{}/series", props.base)} query_path={format!("{}/query", props.base)} {query} {set} />
            </section>
            <div class="grid grid-cols-1 shrink-0 items-start gap-3.5 lg:grid-cols-2">
                <Card title="Epochs" pad=false><ul>{ for detail.epochs.iter().rev().map(epoch) }</ul></Card>
                <Card title="Telemetry gaps" pad=false>
                    if detail.gaps.is_empty() {
                        <Empty title="No gaps" text="Every point that was measured is here." />
                    } else {
                        <ul class="max-h-80 overflow-auto">
                            for (from, to, points) in detail.gaps.iter() {
                                <li key={from.to_string()} class="flex gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
                                    <span title={format::absolute(*from)}>{ format::clock(*from) }{ " – " }{ format::clock(*to) }</span>
                                    <span class="text-ink-3">{ format::duration(to - from) }</span>
                                    <span class="ml-auto tabular-nums text-ink-2">{ format!("{} lost", format::counted(*points, "point", "points")) }</span>
                                </li>
                            }
                        </ul>
                    }
                </Card>
            </div>
            { match *open {
                Some(Open::Command) => html! { <SendCommand base={props.base.clone()} on_close={show(None)} on_done={props.reload.clone()} /> },
                Some(Open::Desired) => html! { <EditDesired base={props.base.clone()} desired={detail.desired.clone()} on_close={show(None)} on_done={props.reload.clone()} /> },
                Some(Open::Revoke) => html! { <Revoke base={props.base.clone()} name={row.name.clone()} on_close={show(None)} on_done={props.reload.clone()} /> },
                None => Html::default(),
            } }
        </>
    }
}

/// Every leaf of two documents by its path, with both values.
fn compared(desired: &Value, reported: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
    fn walk(
        path: &str,
        desired: Option<&Value>,
        reported: Option<&Value>,
        rows: &mut Vec<(String, Option<Value>, Option<Value>)>,
    ) {
        let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
        let (left, right) = (object(desired), object(reported));
        if left.is_none() && right.is_none() {
            rows.push((path.to_owned(), desired.cloned(), reported.cloned()));
            return;
        }
        let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
        let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(&inner, left.get(key), right.get(key), rows);
        }
    }
    let mut rows = Vec::new();
    walk("", Some(desired), Some(reported), &mut rows);
    rows.retain(|(path, ..)| !path.is_empty());
    rows
}

/// A leaf as people read it: sizes as sizes, services as a sentence each.
fn said(path: &str, value: &Value) -> String {
    if path.ends_with("_bytes")
        && let Some(size) = value.as_f64()
    {
        return format::bytes(size);
    }
    let service = |item: &Value| Some(format!("{}: {}", item.get("name")?.as_str()?, item.get("cause")?.as_str()?));
    match value.as_array().map(|items| items.iter().map(service).collect::<Option<Vec<_>>>()) {
        Some(Some(services)) if !services.is_empty() => services.join(" · "),
        _ => super::audit::plain(value),
    }
}

#[derive(Properties, PartialEq)]
struct DocumentsProps {
    detail: Rc<BoxDetail>,
}

/// Desired against reported, leaf by leaf; what only the box says stands below.
#[component]
fn Documents(props: &DocumentsProps) -> Html {
    let detail = &props.detail;
    let rows = compared(&detail.desired, &detail.reported);
    let open = rows.iter().filter(|(_, desired, reported)| desired.is_some() && desired != reported).count();
    let show =
        |path: &str, value: &Option<Value>| value.as_ref().map_or_else(|| "—".to_owned(), |value| said(path, value));
    let aside = html! {
        if open == 0 { <Tag tone={Tone::Ok}>{ "As desired" }</Tag> } else { <Tag tone={Tone::Warn}>{ format::counted(open as u64, "difference", "differences") }</Tag> }
    };
    html! {
        <Card title="Desired and reported" pad=false {aside}>
            if rows.is_empty() {
                <Empty title="Nothing is desired yet" text="What the box should be is a document here; what it is, the box reports." />
            } else {
                <div class="max-h-80 overflow-auto">
                    <table class="table">
                        <thead><tr>
                            <th scope="col">{ "Key" }</th>
                            <th scope="col">{ format!("Desired v{}", detail.desired_version) }</th>
                            <th scope="col">{ format!("Reported v{}", detail.reported_version) }</th>
                        </tr></thead>
                        <tbody>
                            for (path, desired, reported) in rows.iter() {
                                <tr key={path.clone()}>
                                    <td class="font-mono text-sm">{ path }</td>
                                    <td class="break-words whitespace-normal!">{ show(path, desired) }</td>
                                    <td class="break-words whitespace-normal!">
                                        <span class="inline-flex items-center gap-1.5">
                                            { show(path, reported) }
                                            if desired.is_some() && desired != reported { <Dot tone={Tone::Warn} /><span class="text-sm text-warn-ink">{ "differs" }</span> }
                                        </span>
                                    </td>
                                </tr>
                            }
                        </tbody>
                    </table>
                </div>
                <p class="border-t border-line-2 px-3.5 py-1.5 text-sm text-ink-3">{ "Reported " }<Ago at={detail.reported_at} /></p>
            }
        </Card>
    }
}

fn command(command: &Command) -> Html {
    let tone = match command.state.as_str() {
        "done" => Tone::Ok,
        "failed" => Tone::Bad,
        "expired" => Tone::Warn,
        _ => Tone::Plain,
    };
    let waiting = matches!(command.state.as_str(), "queued" | "delivered" | "running");
    html! {
        <li key={command.id.to_string()} class="flex items-start gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
            <span class="min-w-0 flex-1">
                <b class="block font-medium">{ sentence(&format::words(&command.kind)) }</b>
                <span class="block text-sm break-words text-ink-3">{ command.result.clone().unwrap_or_else(|| format!("by {}", command.created_by)) }</span>
            </span>
            <span class="text-right">
                <Tag {tone}>{ sentence(&command.state) }</Tag>
                <span class="block text-sm text-ink-3">if waiting { { "expires " }<Until at={command.expires_at} /> } else { <Ago at={command.updated_at} /> }</span>
            </span>
        </li>
    }
}

fn epoch(row: &EpochRow) -> Html {
    html! {
        <li key={row.epoch.to_string()} class="flex gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
            <b class="font-medium tabular-nums">{ row.epoch }</b>
            <span class="text-ink-2">{ match row.restored_to {
                Some(sequence) => format!("restored to transaction {}; {} given back", format::count(sequence), format::count(row.given_back)),
                None => "first".to_owned(),
            } }</span>
            <span class="ml-auto text-ink-3"><Since at={row.started_at} /></span>
        </li>
    }
}

/// A request that changes something: method, path, body.
type Change = (Method, String, Option<Value>);

/// Sends a change, says how it went, closes.
#[hook]
fn use_change(
    done: &'static str,
    on_close: Callback<()>,
    on_done: Callback<()>,
) -> (bool, Option<Failure>, Callback<Change>) {
    let toast = use_toast();
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let send = {
        let (busy, error) = (busy.clone(), error.clone());
        Callback::from(move |(method, path, body): Change| {
            let (busy, error, toast, on_close, on_done) =
                (busy.clone(), error.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                let answer = match body {
                    Some(body) => api::send::<Done>(method, &path, &body).await,
                    None => api::act::<Done>(method, &path).await,
                };
                busy.set(false);
                match answer {
                    Ok(_) => {
                        toast.ok(done);
                        on_done.emit(());
                        on_close.emit(());
                    }
                    Err(failure) => error.set(Some(failure)),
                }
            });
        })
    };
    (*busy, (*error).clone(), send)
}

#[derive(Properties, PartialEq)]
struct ChangeProps {
    base: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

const COMMANDS: [(&str, &str); 6] = [
    ("sync_now", "Sync now"),
    ("identify", "Identify"),
    ("collect_diagnostics", "Collect diagnostics"),
    ("verify_audit", "Verify audit chain"),
    ("set_log_level", "Set log level"),
    ("restart", "Restart"),
];

#[component]
fn SendCommand(props: &ChangeProps) -> Html {
    let kind = use_state(|| COMMANDS[0].0.to_owned());
    let level = use_state(|| "info".to_owned());
    let expires = use_state(|| "3600".to_owned());
    let (busy, error, send) =
        use_change("Command queued; the box is called", props.on_close.clone(), props.on_done.clone());
    let submit = {
        let (kind, level, expires, base) = (kind.clone(), level.clone(), expires.clone(), props.base.clone());
        Callback::from(move |()| {
            let arguments = if *kind == "set_log_level" { json!({ "level": *level }) } else { json!({}) };
            let body =
                json!({ "kind": *kind, "arguments": arguments, "expires_in": expires.parse::<u32>().unwrap_or(3600) });
            send.emit((Method::POST, format!("{base}/commands"), Some(body)));
        })
    };
    let set = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let pairs = |options: &[(&'static str, &'static str)]| {
        options.iter().map(|(value, label)| ((*value).into(), (*label).into())).collect::<Vec<(AttrValue, AttrValue)>>()
    };
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true {busy}>{ "Send" }</Button>
        </>
    };
    html! {
        <Dialog title="Send a command" on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Command"><Pick name="kind" value={(*kind).clone()} on={set(&kind)} options={pairs(&COMMANDS)} /></Field>
                <Field label="Expires after"><Pick value={(*expires).clone()} on={set(&expires)} options={pairs(&[("300", "5 minutes"), ("3600", "1 hour"), ("86400", "1 day"), ("604800", "1 week")])} /></Field>
                if *kind == "set_log_level" {
                    <Field label="Level"><Pick value={(*level).clone()} on={set(&level)} options={pairs(&[("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")])} /></Field>
                }
            </div>
            <p class="mt-3 text-sm text-ink-3">{ "A box that is offline gets it when it comes back, unless it has expired by then." }</p>
            if let Some(error) = error { <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p> }
        </Dialog>
    }
}

#[derive(Properties, PartialEq)]
struct DesiredProps {
    base: String,
    desired: Value,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn EditDesired(props: &DesiredProps) -> Html {
    let text = use_state(|| serde_json::to_string_pretty(&props.desired).unwrap_or_else(|_| "{}".to_owned()));
    let (busy, error, send) =
        use_change("Desired state changed; the box is called", props.on_close.clone(), props.on_done.clone());
    let parsed = serde_json::from_str::<Value>(&text);
    let wrong = match &parsed {
        Ok(Value::Object(_)) => None,
        Ok(_) => Some("it must be a JSON object".to_owned()),
        Err(cause) => Some(format!("not JSON: {cause}")),
    };
    let submit = {
        let base = props.base.clone();
        let document = parsed.ok().filter(Value::is_object);
        Callback::from(move |()| {
            if let Some(document) = document.clone() {
                send.emit((Method::PUT, format!("{base}/desired"), Some(document)));
            }
        })
    };
    let on = {
        let text = text.clone();
        Callback::from(move |typed| text.set(typed))
    };
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true {busy} disabled={wrong.is_some()}>{ "Save" }</Button>
        </>
    };
    html! {
        <Dialog title="Desired state" wide=true on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <Field label="Document" error={wrong.clone()} hint="What the box should be. It reports back what it became.">
                <TextArea mono=true rows=14 invalid={wrong.is_some()} value={(*text).clone()} {on} />
            </Field>
            if let Some(error) = error { <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p> }
            <details class="mt-3"><summary class="text-ink-2">{ "As it is now" }</summary><Json value={props.desired.clone()} /></details>
        </Dialog>
    }
}

#[derive(Properties, PartialEq)]
struct RevokeProps {
    base: String,
    name: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Revoke(props: &RevokeProps) -> Html {
    let (busy, error, send) = use_change("Revoked", props.on_close.clone(), props.on_done.clone());
    let confirm = {
        let base = props.base.clone();
        Callback::from(move |()| send.emit((Method::POST, format!("{base}/revoke"), None)))
    };
    html! {
        <Confirm title={format!("Revoke {}", props.name)} verb="Revoke this box" {busy} on_confirm={confirm} on_close={props.on_close.clone()}>
            <p>{ "One box loses its certificate at once: it cannot sync or take commands any more. Its branch goes on working with what it has, and nothing here is deleted. To bring it back, claim it anew." }</p>
            if let Some(error) = error { <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p> }
        </Confirm>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_compared_leaf_by_leaf() {
        let rows = compared(&json!({ "a": { "b": 1 }, "c": [1] }), &json!({ "a": { "b": 2, "d": 3 } }));
        assert_eq!(
            rows,
            [
                ("a.b".to_owned(), Some(json!(1)), Some(json!(2))),
                ("a.d".to_owned(), None, Some(json!(3))),
                ("c".to_owned(), Some(json!([1])), None),
            ]
        );
        assert!(compared(&json!({}), &json!(null)).is_empty());
    }

    #[test]
    fn what_a_box_reports_reads_as_words() {
        assert_eq!(said("disk_bytes", &json!(270_553_174_016_u64)), format::bytes(270_553_174_016.0));
        let services = json!([{ "name": "capital", "cause": "ready" }, { "name": "pulse", "cause": "91 series" }]);
        assert_eq!(said("services", &services), "capital: ready · pulse: 91 series");
        assert_eq!(said("tags", &json!(["a"])), r#"["a"]"#);
        assert_eq!(said("services", &json!([])), "[]");
    }
}
