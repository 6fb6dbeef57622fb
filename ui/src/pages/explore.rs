//! The explorer of series that the box's charts page and the fleet's box page share: a picker, a time range in the
//! address, charts with one cursor that zoom together. Series of one unit share a chart; beyond four they are a table.

use super::monitoring::series_name;
use crate::{
    api::{List, escape},
    components::{Button, Card, Chart, Chip, Empty, Input, Kind, Pick, chart, loaded, use_now},
    data::{Query, use_resource},
    format,
    live::{self, News},
    words,
};
use sent_contract::{
    Micros,
    pulse::{Curve, LivePoints, QueryAnswer, Rule, Series},
};
use std::{collections::BTreeMap, rc::Rc};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

/// Ranges that roll on: name, label, length in µs.
pub const RANGES: [(&str, &str, i64); 6] = [
    ("15m", "15 min", 15 * 60_000_000),
    ("1h", "1 h", 3_600_000_000),
    ("6h", "6 h", 6 * 3_600_000_000),
    ("24h", "24 h", 24 * 3_600_000_000),
    ("7d", "7 d", 7 * 86_400_000_000),
    ("30d", "30 d", 30 * 86_400_000_000),
];
/// A rolling range moves on by this part of itself, so that a month is not asked for every few seconds.
const STEPS: i64 = 240;
/// Points asked for; about two for each pixel of a small chart would be drawn over each other.
const POINTS: usize = 600;

/// What tells most about a machine.
const TELLING: [&str; 2] = ["cpu_usage_ratio", "memory_used_ratio"];

/// Properties of [`Explorer`].
#[derive(Properties, PartialEq)]
pub struct ExplorerProps {
    /// Where series are listed: `/api/pulse/series`.
    pub series_path: AttrValue,
    /// Where points are asked for: `/api/pulse/query`.
    pub query_path: AttrValue,
    /// Where rules are, for their thresholds.
    #[prop_or_default]
    pub rules_path: Option<AttrValue>,
    /// The channel that live values come on, if they do.
    #[prop_or_default]
    pub live: Option<AttrValue>,
    /// The address.
    pub query: Query,
    /// Changes it.
    pub set: Callback<Vec<(&'static str, String)>>,
}

/// The explorer.
#[component]
pub fn Explorer(props: &ExplorerProps) -> Html {
    let host = props.query.get("host").to_owned();
    let list_path = if host.is_empty() {
        props.series_path.to_string()
    } else {
        format!("{}?host={}", props.series_path, escape(&host))
    };
    let list = use_resource::<List<Series>>(Some(list_path), &[]);
    let all = use_resource::<List<Series>>((!host.is_empty()).then(|| props.series_path.to_string()), &[]);
    let rules = use_resource::<List<Rule>>(props.rules_path.as_ref().map(ToString::to_string), &["table:rules"]);
    let now = use_now();
    let (from, to, rolling) = range(&props.query, now);

    let known: Vec<Series> = list.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let elsewhere: Vec<Series> = all.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let wanted = props.query.get("series");
    let chosen: Vec<Series> = if wanted.is_empty() {
        first(&known)
    } else {
        let find = |id: &str| known.iter().chain(&elsewhere).find(|series| series.id == id).cloned();
        wanted.split(',').filter_map(find).collect()
    };
    let ids: Vec<String> = chosen.iter().map(|series| series.id.clone()).collect();
    let set_ids = {
        let set = props.set.clone();
        Callback::from(move |ids: Vec<String>| set.emit(vec![("series", ids.join(","))]))
    };
    let toggle = {
        let (ids, set_ids) = (ids.clone(), set_ids);
        Callback::from(move |id: String| {
            let mut ids = ids.clone();
            match ids.iter().position(|known| *known == id) {
                Some(at) => drop(ids.remove(at)),
                None => ids.push(id),
            }
            set_ids.emit(ids);
        })
    };
    let path = (!ids.is_empty())
        .then(|| format!("{}?series={}&from={from}&to={to}&points={POINTS}", props.query_path, ids.join(",")));
    let answer = use_resource::<QueryAnswer>(path, &[]);
    let zoom = {
        let set = props.set.clone();
        Callback::from(move |zoom: Option<(Micros, Micros)>| {
            set.emit(match zoom {
                Some((from, to)) => vec![("from", from.to_string()), ("to", to.to_string())],
                None => vec![("from", String::new()), ("to", String::new())],
            });
        })
    };
    html! {
        <>
            <div class="flex shrink-0 flex-wrap items-center gap-2">
                <div role="group" aria-label="Time range" class="flex flex-wrap gap-1">
                    for (key, label, _) in RANGES {
                        <Chip on={rolling == Some(key)} onclick={let set = props.set.clone(); Callback::from(move |_: MouseEvent| set.emit(vec![("range", key.to_owned()), ("from", String::new()), ("to", String::new())]))}>{ label }</Chip>
                    }
                </div>
                if rolling.is_none() {
                    <span class="text-ink-2">{ format::clock(from) }{ " – " }{ format::clock(to) }</span>
                    <Button kind={Kind::Ghost} onclick={zoom.reform(|_: MouseEvent| None)}>{ "Zoom out" }</Button>
                }
                <span class="ml-auto text-sm text-ink-3">{ answer.data.as_ref().map(|answer| tier(answer)).unwrap_or_default() }</span>
            </div>
            <div class="grid grid-cols-1 items-start gap-3.5 lg:grid-cols-[17rem_minmax(0,1fr)]">
                <div class="order-last lg:order-none">
                    <Card title="Series" pad=false aside={html! { { format::count(known.len() as u64) } }}>
                        { loaded(&list, 8, |_| html! { <Picker series={known.clone()} chosen={ids.clone()} host={host.clone()} live={props.live.clone()} set={props.set.clone()} toggle={toggle.clone()} /> }) }
                    </Card>
                </div>
                <div class="flex min-w-0 flex-col gap-3.5">
                    if list.data.is_some() && chosen.is_empty() {
                        <Card><Empty title="Nothing chosen" text="Choose a series to draw it. Series of the same unit share a chart." /></Card>
                    } else if let Some(answer) = &answer.data {
                        <Charts answer={answer.clone()} chosen={chosen.clone()} {from} {to} {zoom} live={props.live.clone().filter(|_| rolling.is_some())}
                            rules={rules.data.as_ref().map(|list| list.items.clone()).unwrap_or_default()} />
                    } else {
                        <Card pad=false>{ loaded(&answer, 6, |_| Html::default()) }</Card>
                    }
                </div>
            </div>
        </>
    }
}

/// What is drawn before somebody chose: how a machine does, or else what comes first.
fn first(known: &[Series]) -> Vec<Series> {
    let told: Vec<Series> =
        TELLING.iter().filter_map(|metric| known.iter().find(|series| series.metric == *metric)).cloned().collect();
    if told.is_empty() { known.iter().take(2).cloned().collect() } else { told }
}

/// From, to, and the name of the range if it rolls.
pub fn range(query: &Query, now: Micros) -> (Micros, Micros, Option<&'static str>) {
    if let (Ok(from), Ok(to)) = (query.get("from").parse::<Micros>(), query.get("to").parse::<Micros>())
        && from < to
    {
        return (from, to, None);
    }
    let (key, _, length) = *RANGES.iter().find(|(key, ..)| *key == query.get("range")).unwrap_or(&RANGES[2]);
    let step = (length / STEPS).max(1);
    let to = (now / step + 1) * step;
    (to - length, to, Some(key))
}

fn tier(answer: &QueryAnswer) -> String {
    let tier = match answer.tier.as_str() {
        "raw" => "raw points".to_owned(),
        "1m" => "averages of a minute".to_owned(),
        "1h" => "averages of an hour".to_owned(),
        tier => format!("averages of {tier}"),
    };
    // Finer than a second every point is drawn as it was measured.
    if answer.step >= 1_000_000 { format!("{tier}, one every {}", format::duration(answer.step)) } else { tier }
}

#[derive(Properties, PartialEq)]
struct PickerProps {
    series: Vec<Series>,
    chosen: Vec<String>,
    host: String,
    live: Option<AttrValue>,
    set: Callback<Vec<(&'static str, String)>>,
    toggle: Callback<String>,
}

#[component]
fn Picker(props: &PickerProps) -> Html {
    let text = use_state(String::new);
    // The newest value of each series, where one came since the list.
    let newest = use_mut_ref(BTreeMap::<String, f64>::new);
    let redraw = use_force_update();
    {
        let newest = newest.clone();
        use_live(props.live.clone(), move |points| {
            newest.borrow_mut().extend(points.points);
            redraw.force_update();
        });
    }
    let last = |series: &Series| newest.borrow().get(&series.id).copied().or(series.last);
    let wanted = text.to_lowercase();
    let mut hosts: Vec<&str> =
        props.series.iter().filter_map(|series| series.labels.get("host").map(String::as_str)).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if !props.host.is_empty() && !hosts.contains(&props.host.as_str()) {
        hosts.push(&props.host);
    }
    let options = std::iter::once(("".into(), "All hosts".into()))
        .chain(hosts.iter().map(|host| ((*host).to_owned().into(), (*host).to_owned().into())))
        .collect::<Vec<_>>();
    let on_host = {
        let set = props.set.clone();
        Callback::from(move |host| set.emit(vec![("host", host), ("series", String::new())]))
    };
    let on_text = {
        let text = text.clone();
        Callback::from(move |typed| text.set(typed))
    };
    // Tab reaches the list once; the arrows go through it.
    let step = Callback::from(|event: KeyboardEvent| {
        let down = match event.key().as_str() {
            "ArrowDown" => true,
            "ArrowUp" => false,
            _ => return,
        };
        let row = event.target_dyn_into::<Element>().and_then(|input| input.closest("li").ok().flatten());
        let next = row.and_then(|row| if down { row.next_element_sibling() } else { row.previous_element_sibling() });
        let input = next.and_then(|row| row.query_selector("input").ok().flatten());
        if let Some(input) = input.and_then(|input| input.dyn_into::<HtmlElement>().ok()) {
            event.prevent_default();
            // It can fail only for an element that is gone.
            let _ = input.focus();
        }
    });
    let found = props
        .series
        .iter()
        .filter(|series| {
            let matches = |name: String| name.to_lowercase().contains(&wanted);
            wanted.is_empty() || matches(series_name(series)) || matches(words::metric(&series.metric))
        })
        .take(400);
    html! {
        <>
            <div class="flex flex-col gap-2 border-b border-line-2 p-2.5">
                <Pick label="Host" value={props.host.clone()} {options} on={on_host} />
                <Input label="Filter series" placeholder="Filter" value={(*text).clone()} on={on_text} />
            </div>
            <ul class="max-h-[26rem] overflow-auto py-1" onkeydown={step}>
                for (index, series) in found.enumerate() {
                    <li key={series.id.clone()}>
                        <label class="flex cursor-pointer items-center gap-2 px-3 py-1 hover:bg-line-2" title={series_name(series)}>
                            <input type="checkbox" tabindex={if index == 0 { "0" } else { "-1" }} checked={props.chosen.contains(&series.id)} onchange={let (toggle, id) = (props.toggle.clone(), series.id.clone()); Callback::from(move |_: Event| toggle.emit(id.clone()))} />
                            <span class="min-w-0 flex-1 truncate">{ words::metric(&series.metric) }<span class="text-ink-3">{ labels(series, &props.host) }</span></span>
                            <span class="shrink-0 text-sm tabular-nums text-ink-3">{ last(series).map(|last| format::measure(last, &series.unit)).unwrap_or_default() }</span>
                        </label>
                    </li>
                }
            </ul>
        </>
    }
}

fn labels(series: &Series, host: &str) -> String {
    series.labels.values().filter(|value| *value != host).map(|value| format!(" · {value}")).collect()
}

#[derive(Properties, PartialEq)]
struct ChartsProps {
    answer: Rc<QueryAnswer>,
    chosen: Vec<Series>,
    rules: Vec<Rule>,
    from: Micros,
    to: Micros,
    live: Option<AttrValue>,
    zoom: Callback<Option<(Micros, Micros)>>,
}

/// Hears live values for as long as there is a channel.
#[hook]
fn use_live(channel: Option<AttrValue>, hear: impl Fn(LivePoints) + 'static) {
    use_effect_with(channel, move |channel| {
        let watch = channel.as_ref().map(|channel| {
            let tell = move |news| {
                if let News::Published(data) = news
                    && let Ok(points) = serde_json::from_value::<LivePoints>(data)
                {
                    hear(points);
                }
            };
            live::watch(channel, Callback::from(tell))
        });
        move || drop(watch)
    });
}

/// One chart for each unit; more than four series of a unit are a table.
#[component]
fn Charts(props: &ChartsProps) -> Html {
    // Values that came live since the answer, by series.
    let fresh = use_state(|| Rc::new(BTreeMap::<String, Vec<(Micros, f64)>>::new()));
    let answer = Rc::as_ptr(&props.answer) as usize;
    {
        let fresh = fresh.clone();
        use_effect_with(answer, move |_| fresh.set(Rc::default()));
    }
    {
        let fresh = fresh.clone();
        let latest = use_mut_ref(|| fresh.clone());
        *latest.borrow_mut() = fresh;
        use_live(props.live.clone(), move |points| {
            let fresh = latest.borrow().clone();
            let mut next = (**fresh).clone();
            for (id, value) in points.points {
                next.entry(id).or_default().push((points.at, value));
            }
            fresh.set(Rc::new(next));
        });
    }
    let mut units = BTreeMap::<&str, Vec<&Series>>::new();
    for series in &props.chosen {
        units.entry(&series.unit).or_default().push(series);
    }
    html! {
        for (unit, group) in units {
            <Group key={unit.to_owned()} answer={props.answer.clone()} fresh={(*fresh).clone()} series={group.into_iter().cloned().collect::<Vec<_>>()}
                rules={props.rules.clone()} from={props.from} to={props.to} zoom={props.zoom.clone()} />
        }
    }
}

#[derive(Properties, PartialEq)]
struct GroupProps {
    answer: Rc<QueryAnswer>,
    fresh: Rc<BTreeMap<String, Vec<(Micros, f64)>>>,
    series: Vec<Series>,
    rules: Vec<Rule>,
    from: Micros,
    to: Micros,
    zoom: Callback<Option<(Micros, Micros)>>,
}

#[component]
fn Group(props: &GroupProps) -> Html {
    let dependencies = (Rc::as_ptr(&props.answer) as usize, Rc::as_ptr(&props.fresh) as usize, props.series.clone());
    let curves = use_memo(dependencies, |_| {
        props.series.iter().map(|series| extended(&props.answer, &props.fresh, &series.id)).collect::<Vec<Curve>>()
    });
    let unit = props.series.first().map(|series| series.unit.clone()).unwrap_or_default();
    let mut metrics: Vec<String> = props.series.iter().map(|series| words::metric(&series.metric)).collect();
    metrics.dedup();
    let title = metrics.join(", ");
    if props.series.len() > chart::MOST {
        return html! {
            <Card title={format!("{title}: latest values")} pad=false aside={html! { "more than four: a table" }}>
                <table class="table"><thead><tr><th scope="col">{ "Series" }</th><th scope="col" class="num">{ "Min" }</th><th scope="col" class="num">{ "Max" }</th><th scope="col" class="num">{ "Last" }</th></tr></thead>
                <tbody>{ for props.series.iter().zip(curves.iter()).map(|(series, curve)| summary(series, curve)) }</tbody></table>
            </Card>
        };
    }
    let thresholds: Vec<(f64, AttrValue)> = props
        .rules
        .iter()
        .filter(|rule| !rule.paused && rule.condition != "absent")
        .filter(|rule| {
            props.series.iter().any(|series| {
                series.metric == rule.metric
                    && rule.labels.iter().all(|(name, value)| series.labels.get(name) == Some(value))
            })
        })
        .map(|rule| (rule.raise, rule.severity.clone().into()))
        .collect();
    let labels = told_apart(&props.series);
    html! {
        <Card {title} aside={html! { <span class="hidden md:inline">{ "drag to zoom, double click to go back" }</span> }}>
            <Chart {curves} {labels} unit={unit} step={props.answer.step} from={props.from} to={props.to} {thresholds} on_zoom={props.zoom.clone()} />
        </Card>
    }
}

/// A label for each series that says only what tells it from its neighbours; the chart's title says the rest.
fn told_apart(series: &[Series]) -> Vec<String> {
    let same =
        |value: &dyn Fn(&Series) -> Option<String>| series.windows(2).all(|pair| value(&pair[0]) == value(&pair[1]));
    let metric = !same(&|series| Some(series.metric.clone()));
    let label = |one: &Series| {
        let differing = one.labels.iter().filter(|(name, _)| !same(&|series| series.labels.get(*name).cloned()));
        let mut words: Vec<String> = metric.then(|| words::metric(&one.metric)).into_iter().collect();
        words.extend(differing.map(|(_, value)| value.clone()));
        if words.is_empty() {
            words = one.labels.values().cloned().collect();
        }
        if words.is_empty() { words::metric(&one.metric) } else { words.join(" · ") }
    };
    series.iter().map(label).collect()
}

fn extended(answer: &QueryAnswer, fresh: &BTreeMap<String, Vec<(Micros, f64)>>, id: &str) -> Curve {
    let empty = || Curve { id: id.to_owned(), at: Vec::new(), avg: Vec::new(), min: Vec::new(), max: Vec::new() };
    let mut curve = answer.series.iter().find(|curve| curve.id == id).cloned().unwrap_or_else(empty);
    for &(at, value) in fresh.get(id).map_or(&[][..], Vec::as_slice) {
        if curve.at.last().is_none_or(|last| *last < at) {
            curve.at.push(at);
            for values in [&mut curve.avg, &mut curve.min, &mut curve.max] {
                values.push(Some(value));
            }
        }
    }
    curve
}

fn summary(series: &Series, curve: &Curve) -> Html {
    let show = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |value| format::measure(value, &series.unit));
    html! {
        <tr key={series.id.clone()}>
            <td>{ series_name(series) }</td>
            <td class="num">{ show(curve.min.iter().flatten().copied().reduce(f64::min)) }</td>
            <td class="num">{ show(curve.max.iter().flatten().copied().reduce(f64::max)) }</td>
            <td class="num">{ show(curve.avg.iter().rev().flatten().copied().next()) }</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_points_only_extend_a_curve() {
        let answer = QueryAnswer {
            tier: "raw".into(),
            step: 10,
            series: vec![Curve {
                id: "1".into(),
                at: vec![10, 20],
                avg: vec![Some(1.0), None],
                min: vec![None; 2],
                max: vec![None; 2],
            }],
        };
        let fresh = BTreeMap::from([("1".to_owned(), vec![(15, 9.0), (30, 3.0)])]);
        let curve = extended(&answer, &fresh, "1");
        assert_eq!(curve.at, [10, 20, 30]);
        assert_eq!(curve.avg.last(), Some(&Some(3.0)));
        assert!(extended(&answer, &fresh, "2").at.is_empty());
    }

    #[test]
    fn labels_say_what_differs() {
        let series = |metric: &str, labels: &[(&str, &str)]| Series {
            id: String::new(),
            metric: metric.into(),
            labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            unit: String::new(),
            last: None,
            last_at: None,
        };
        let (a, b) = (
            series("check_up", &[("check", "a"), ("host", "h")]),
            series("check_up", &[("check", "b"), ("host", "h")]),
        );
        assert_eq!(told_apart(&[a.clone(), b]), ["a", "b"]);
        assert_eq!(told_apart(&[a.clone(), series("load", &[("check", "a"), ("host", "h")])]), ["Check up", "Load"]);
        assert_eq!(told_apart(&[series("load", &[])]), ["Load"]);
        assert_eq!(told_apart(&[a]), ["a · h"]);
    }

    #[test]
    fn an_address_without_a_range_shows_six_hours() {
        let (from, to, rolling) = range(&Query::default(), 1_000_000_000_000_000);
        assert_eq!(rolling, Some("6h"));
        assert_eq!(to - from, 6 * 3_600_000_000);
    }
}
