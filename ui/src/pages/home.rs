//! The box's first page: how it does, what waits for the cloud, what needs a person, who did what.

use crate::{
    api::List,
    components::{Ago, Card, Chart, Dot, Empty, Kpi, Since, StatusLine, Tag, Tone, loaded, status::sentence, use_now},
    data::use_resource,
    format,
    pages::audit::summary,
    route::Route,
    words,
};
use sent_contract::{
    Level,
    home::{Attention, Home as Answer, Service},
    pulse::{QueryAnswer, Series},
};
use std::rc::Rc;
use yew::prelude::*;
use yew_router::prelude::*;

/// Home.
#[component]
pub fn Home() -> Html {
    let home = use_resource::<Answer>(Some("/api/home".into()), &["home", "sync", "pulse.alerts"]);
    if home.data.is_none() {
        return html! { <Card pad=false>{ loaded(&home, 10, |_| Html::default()) }</Card> };
    }
    loaded(&home, 10, |home| html! { <Full home={home.clone()} /> })
}

#[derive(Properties, PartialEq)]
struct FullProps {
    home: Rc<Answer>,
}

#[component]
fn Full(props: &FullProps) -> Html {
    let home = &props.home;
    let now = use_now();
    let (used, total) = home.disk;
    let disk = if total > 0 { used as f64 / total as f64 } else { 0.0 };
    let (memory, of) = home.memory;
    html! {
        <>
            <div class="grid shrink-0 grid-cols-2 gap-3.5 lg:grid-cols-4">
                <Kpi label="This box" value={format!("Up {}", format::long_duration(now - home.started))}
                    note={html! { <>{ &home.name }{ " · version " }{ &home.version }</> }} />
                <Kpi label="Waiting for the cloud" value={if home.sync.enrolled { format::counted(home.sync.waiting, "entry", "entries") } else { "Nothing".to_owned() }}
                    note={waiting(home)} />
                <Kpi label="Processor" value={format::percent(home.cpu)}
                    note={format!("memory {} of {}", format::bytes(memory as f64), format::bytes(of as f64))} />
                <Kpi label="Storage" value={format::percent(disk)}
                    note={format!("{} of {} used", format::bytes(used as f64), format::bytes(total as f64))} />
            </div>
            <div class="shrink-0"><Load /></div>
            <div class="grid grid-cols-1 shrink-0 gap-3.5 lg:grid-cols-[2fr_1fr]">
                <Card title="Health" pad=false aside={html! { <StatusLine status={home.status.clone()} since=true /> }}>
                    <ul>
                        <li class="flex items-center gap-3 border-b border-line-2 px-3.5 py-2">
                            <span class="w-24 shrink-0 font-medium">{ "Cloud" }</span>
                            <StatusLine status={home.sync.status.clone()} />
                            <span class="ml-auto shrink-0 text-sm text-ink-3"><Since at={home.sync.status.since} /></span>
                        </li>
                        { for home.services.iter().map(service) }
                    </ul>
                </Card>
                <Card title="Needs attention" pad=false aside={html! { <span class="tabular-nums">{ home.attention.len() }</span> }}>
                    if home.attention.is_empty() {
                        <Empty title="Nothing needs you" text="What does would stand here, with its cause." />
                    } else {
                        <ul>{ for home.attention.iter().map(|line| html! { <AttentionLine line={line.clone()} /> }) }</ul>
                    }
                </Card>
            </div>
            <div class="shrink-0">
            <Card title="Activity" pad=false aside={html! { <Link<Route> to={Route::Audit} classes="text-accent hover:underline">{ "Whole audit" }</Link<Route>> }}>
                if home.activity.is_empty() {
                    <Empty title="Nothing was done yet" text="Every change that somebody makes is kept, with who and when.">
                        <Link<Route> to={Route::NewEntry} classes="text-accent underline">{ "Post the first entry" }</Link<Route>>
                    </Empty>
                } else {
                    <ul>
                        for entry in home.activity.iter() {
                            <li key={entry.sequence} class="flex items-center gap-2.5 border-b border-line-2 px-3.5 py-2 last:border-0">
                                <span class="grid size-[26px] shrink-0 place-items-center rounded-full bg-accent-soft text-xs font-semibold text-accent" aria-hidden="true">{ format::initials(&entry.actor) }</span>
                                <span class="min-w-0 flex-1 truncate"><b class="font-medium">{ &entry.actor }</b>{ " " }{ summary(entry) }</span>
                                <span class="shrink-0 text-sm text-ink-3"><Ago at={entry.at} /></span>
                            </li>
                        }
                    </ul>
                }
            </Card>
            </div>
        </>
    }
}

/// How far back the chart goes, in µs, and how often it is asked again.
const BACK: i64 = 6 * 3_600_000_000;
const EVERY: i64 = 60_000_000;

/// What is drawn.
const LOAD: [&str; 2] = ["cpu_usage_ratio", "memory_used_ratio"];

/// Processor and memory of this box over the last hours. A box that measures nothing yet shows no chart.
#[component]
fn Load() -> Html {
    let navigator = use_navigator();
    let list = use_resource::<List<Series>>(Some("/api/pulse/series".into()), &[]);
    let to = (use_now() / EVERY + 1) * EVERY;
    let from = to - BACK;
    let known = list.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
    let chosen: Vec<&Series> =
        LOAD.iter().filter_map(|metric| known.iter().find(|series| series.metric == *metric)).collect();
    let ids = chosen.iter().map(|series| series.id.as_str()).collect::<Vec<_>>().join(",");
    let path = (!chosen.is_empty()).then(|| format!("/api/pulse/query?series={ids}&from={from}&to={to}&points=360"));
    let answer = use_resource::<QueryAnswer>(path, &[]);
    let curves = use_memo(answer.data.as_ref().map(|answer| Rc::as_ptr(answer) as usize), |_| {
        answer.data.as_ref().map(|answer| answer.series.clone()).unwrap_or_default()
    });
    if chosen.is_empty() {
        return Html::default();
    }
    let on_zoom = Callback::from(move |range: Option<(i64, i64)>| {
        if let (Some(navigator), Some((from, to))) = (&navigator, range) {
            // A map of texts always serialises.
            let query = [("series", ids.clone()), ("from", from.to_string()), ("to", to.to_string())];
            let _ = navigator.push_with_query(&Route::Charts, &query);
        }
    });
    let labels: Vec<String> = chosen.iter().map(|series| words::metric(&series.metric)).collect();
    html! {
        <Card title="Load" aside={html! { "last 6 h · drag to zoom" }}>
            <Chart {curves} {labels} unit="ratio" step={answer.data.as_ref().map_or(0, |answer| answer.step)} {from} {to} {on_zoom} height={150} />
        </Card>
    }
}

fn waiting(home: &Answer) -> Html {
    let sync = &home.sync;
    match (sync.enrolled, sync.status.level) {
        (false, _) => html! { "stand-alone: no cloud is set up" },
        (true, Level::Ok) => html! { <>{ "synced " }<Ago at={sync.last_sync} /></> },
        (true, _) => html! { <>{ "last synced " }<Ago at={sync.last_sync} />{ ", nothing is lost" }</> },
    }
}

fn service(service: &Service) -> Html {
    html! {
        <li key={service.name.clone()} class="flex items-center gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
            <span class="w-24 shrink-0 font-medium">{ sentence(&service.name) }</span>
            <StatusLine status={service.status.clone()} />
            <span class="ml-auto flex shrink-0 items-center gap-3 text-sm text-ink-3">
                if service.restarts > 0 {
                    <span class="hidden md:inline"><Tag tone={Tone::Warn}>{ format::counted(service.restarts.into(), "restart", "restarts") }</Tag></span>
                }
                if let Some(memory) = service.memory { <span class="hidden tabular-nums md:inline">{ format::bytes(memory as f64) }</span> }
                <span class="hidden md:inline">{ if service.runs == "main" { "in the main process" } else { "as a worker" } }</span>
                <Since at={service.status.since} />
            </span>
        </li>
    }
}

#[derive(Properties, PartialEq)]
struct LineProps {
    line: Attention,
}

#[component]
fn AttentionLine(props: &LineProps) -> Html {
    let line = &props.line;
    let inner = html! {
        <>
            <span class="mt-1.5"><Dot tone={Tone::from(line.status.level)} /></span>
            <span class="min-w-0 flex-1">
                <b class="block font-semibold">{ &line.title }</b>
                <span class="block text-sm text-ink-3">{ sentence(&line.status.cause) }</span>
            </span>
            <span class="text-sm text-ink-3"><Since at={line.status.since} /></span>
        </>
    };
    let class = "flex items-start gap-2.5 px-3.5 py-[9px] hover:bg-line-2";
    let route = Route::recognize(line.link.split(['?', '#']).next().unwrap_or_default());
    html! {
        <li class="border-b border-line-2 last:border-0">
            { match route {
                Some(route) if route != Route::Missing => html! { <Link<Route> to={route} classes={class}>{ inner }</Link<Route>> },
                _ => html! { <div {class}>{ inner }</div> },
            } }
        </li>
    }
}
