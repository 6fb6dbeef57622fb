//! One box: what it should be against what it says it is, commands, telemetry, epochs and gaps, revocation.

use super::{
    explore::Explorer,
    machine_act::{EditDesired, Revoke, SendCommand},
};
use crate::{
    api,
    components::{
        Ago, Button, Card, Dot, Empty, Kind, Kpi, Since, StatusLine, Tag, Tone, Until, loaded, status::sentence,
    },
    data::{use_query, use_resource},
    format,
    route::Route,
    session::use_session,
    words,
};
use sent_contract::fleet::{BoxDetail, Command, EpochRow};
use serde_json::Value;
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

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

/// A link with one filter.
type Filtered = Link<Route, BTreeMap<&'static str, String>>;

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
    let may = use_session().may("fleet.box.write");
    html! {
        <>
            <Card>
                <div class="flex flex-wrap items-start gap-x-4 gap-y-2">
                    <div class="min-w-0 flex-1">
                        <h2 class="text-lg font-semibold">{ &row.name }</h2>
                        <p class="text-ink-3">
                            { &row.branch.name }{ " · " }
                            <Filtered classes="hover:underline" to={Route::Boxes} query={BTreeMap::from([("organization", row.organization.id.to_string())])}>{ &row.organization.name }</Filtered>
                            { for row.tags.iter().map(|tag| html! { <>{ " " }<Tag>{ tag }</Tag></> }) }
                        </p>
                        <p class="mt-1.5 text-[14px] font-medium"><StatusLine status={row.status.clone()} since=true whole=true /></p>
                    </div>
                    if may { <div class="flex flex-wrap gap-2">
                        <Button kind={Kind::Danger} disabled={revoked} onclick={show(Some(Open::Revoke)).reform(|_: MouseEvent| ())}>{ "Revoke…" }</Button>
                        <Button onclick={show(Some(Open::Desired)).reform(|_: MouseEvent| ())}>{ "Change desired…" }</Button>
                        <Button kind={Kind::Primary} disabled={revoked} onclick={show(Some(Open::Command)).reform(|_: MouseEvent| ())}>{ "Send command…" }</Button>
                    </div> }
                </div>
            </Card>
            <div class="grid shrink-0 grid-cols-2 gap-3.5 lg:grid-cols-4">
                <Kpi label="Behind" value={format::counted(row.behind, "entry", "entries")} note={row.lag_seconds.map_or_else(|| "lag not measured".to_owned(), |lag| format!("last took {}", format::measure(lag, "seconds")))} />
                <Kpi label="Last contact" value={html! { <Ago at={row.last_seen} /> }} note={format!("version {}", row.version)} />
                <Kpi label="Epoch" value={detail.epoch.to_string()} note={format::counted(detail.sequence, "transaction", "transactions")} />
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
                <Explorer series_path={format!("{}/series", props.base)} query_path={format!("{}/query", props.base)} live={format!("fleet.live.{}", row.id)} {query} {set} />
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
                Some(Open::Desired) => html! { <EditDesired base={props.base.clone()} desired={detail.desired.clone()} reported={detail.reported.clone()} on_close={show(None)} on_done={props.reload.clone()} /> },
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
    rows.retain(|(path, ..)| !path.is_empty() && path != REFUSED && !path.starts_with("refused."));
    rows
}

/// Where a box reports what it could not honour, each key with the reason.
const REFUSED: &str = "refused";

/// Why the box does not do what is desired of it there.
fn refusal<'a>(reported: &'a Value, path: &str) -> Option<&'a str> {
    reported.get(REFUSED)?.get(path)?.as_str()
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
                            <th scope="col">{ "What" }</th>
                            <th scope="col">{ format!("Desired v{}", detail.desired_version) }</th>
                            <th scope="col">{ format!("Reported v{}", detail.reported_version) }</th>
                        </tr></thead>
                        <tbody>
                            for (path, desired, reported) in rows.iter() {
                                <tr key={path.clone()}>
                                    <td title={path.clone()}>{ sentence(&words::plain(path.trim_end_matches("_bytes"))) }</td>
                                    <td class="break-words whitespace-normal!">{ show(path, desired) }</td>
                                    <td class="break-words whitespace-normal!">
                                        <span class="inline-flex items-center gap-1.5">
                                            { show(path, reported) }
                                            if let Some(why) = refusal(&detail.reported, path) {
                                                <Dot tone={Tone::Bad} /><span class="text-sm text-bad-ink">{ "refused: " }{ why }</span>
                                            } else if desired.is_some() && desired != reported {
                                                <Dot tone={Tone::Warn} /><span class="text-sm text-warn-ink">{ "differs" }</span>
                                            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        let refused = json!({ "refused": { "a.b": "is a text" } });
        assert!(compared(&json!({}), &refused).is_empty(), "what is refused stands beside its key");
        assert_eq!((refusal(&refused, "a.b"), refusal(&refused, "a")), (Some("is a text"), None));
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
