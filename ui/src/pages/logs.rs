//! Search over the logs: a query and a time, how much of it there was when, the lines, and what their fields hold. All of
//! it stands in the address. The time of a preset is settled when the search begins, so that nothing moves while one reads.

mod fields;
mod line;

use super::radar::{Address, term};
use crate::{
    api::{self, Failure, with_query},
    components::{
        Bars, Button, Card, Chip, Empty, Icon, Kind, Menu, Problem, Skeleton, Views, button::LINK, list::Set,
        status::sentence, table, use_flag,
    },
    data::{Query, Resource, use_query, use_resource},
    format,
    route::Route,
};
use fields::Fields;
use gloo_events::{EventListener, EventListenerOptions};
use line::Line;
use sent_contract::{
    Micros,
    radar::{Found, Histogram, Hit},
};
use std::rc::Rc;
use wasm_bindgen::{JsCast, UnwrapThrowExt};
use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;
use yew_router::prelude::*;

/// Presets of the time: name in the address, words, length.
pub const RANGES: [(&str, &str, Micros); 6] = [
    ("15m", "15 min", 900_000_000),
    ("1h", "1 h", 3_600_000_000),
    ("6h", "6 h", 21_600_000_000),
    ("24h", "24 h", 86_400_000_000),
    ("7d", "7 d", 604_800_000_000),
    ("30d", "30 d", 2_592_000_000_000),
];
/// What an address without a time means.
const USUAL: usize = 3;
/// Bars of the histogram: a preset's length is a whole number of them.
const BARS: Micros = 60;
/// Lines of a page.
const LINES: usize = 100;

/// From, to, and the preset if it is one.
fn times(query: &Query, now: Micros) -> (Micros, Micros, Option<&'static str>) {
    if let (Ok(from), Ok(to)) = (query.get("from").parse::<Micros>(), query.get("to").parse::<Micros>())
        && from < to
    {
        return (from, to, None);
    }
    let (key, _, length) = *RANGES.iter().find(|(key, ..)| *key == query.get("range")).unwrap_or(&RANGES[USUAL]);
    (now - length, now, Some(key))
}

/// A query with one more condition, or with its opposite in its place. Both as they would be typed.
fn narrowed(query: &str, field: &str, value: &str, not: bool) -> String {
    let plain = term(field, value);
    let negated = format!("NOT {plain}");
    let query = query.trim();
    let (wanted, other) = if not { (&negated, &plain) } else { (&plain, &negated) };
    let has = |query: &str, what: &str| {
        query == what
            || query.starts_with(&format!("{what} "))
            || query.ends_with(&format!(" {what}"))
            || query.contains(&format!(" {what} "))
    };
    if has(query, &negated) {
        return if not { query.to_owned() } else { query.replacen(other.as_str(), wanted, 1) };
    }
    if has(query, &plain) {
        return if not { query.replacen(other.as_str(), wanted, 1) } else { query.to_owned() };
    }
    match query {
        "" | "*" => wanted.clone(),
        query if query.contains(" OR ") || query.contains("||") => format!("({query}) {wanted}"),
        query => format!("{query} {wanted}"),
    }
}

/// The page.
#[component]
pub fn Logs() -> Html {
    let (query, set) = use_query();
    // Searching again moves a preset's time on.
    let turn = use_state_eq(|| 0_u32);
    let window = use_memo(
        (query.get("range").to_owned(), query.get("from").to_owned(), query.get("to").to_owned(), *turn),
        |_| times(&query, format::now()),
    );
    let (from, to, preset) = *window;
    let asked = query.get("q").to_owned();
    let parts = [("q", asked.clone()), ("from", from.to_string()), ("to", to.to_string())];
    let path = |route: &str, more: &[(&str, String)]| with_query(route, &[&parts[..], more].concat());
    let lines = path("/api/radar/search", &[("most", LINES.to_string())]);
    let first = use_resource::<Found>(Some(lines.clone()), &[]);
    let bars = use_resource::<Histogram>(Some(path("/api/radar/histogram", &[("bars", BARS.to_string())])), &[]);
    let counted = use_memo(bars.data.as_ref().map(|data| Rc::as_ptr(data) as usize), |_| {
        bars.data.as_ref().map(|data| data.bars.clone()).unwrap_or_default()
    });
    let pages = use_more(lines, &first);
    use_walk();

    let again = {
        let turn = turn.clone();
        Callback::from(move |()| turn.set(*turn + 1))
    };
    let search = {
        let (set, again) = (set.clone(), again.clone());
        Callback::from(move |text: String| {
            set.emit(vec![("q", text)]);
            again.emit(());
        })
    };
    let zoom = set.reform(|range: Option<(Micros, Micros)>| match range {
        Some((from, to)) => vec![("from", from.to_string()), ("to", to.to_string())],
        None => vec![("from", String::new()), ("to", String::new())],
    });
    let narrow = {
        let (set, asked) = (set.clone(), asked.clone());
        Callback::from(move |(field, value, not): (String, String, bool)| {
            set.emit(vec![("q", narrowed(&asked, &field, &value, not))]);
        })
    };
    let wrong = first.error.as_ref().and_then(|error| error.field("q"));
    let (fields_shown, show_fields, hide_fields) = use_flag();
    html! {
        <>
            <Bar text={asked.clone()} wrong={wrong.clone()} on={search} />
            <div class="flex shrink-0 flex-wrap items-center gap-2">
                <div role="group" aria-label="Time range" class="flex flex-wrap gap-1">
                    for (key, label, _) in RANGES {
                        <Chip on={preset == Some(key)} onclick={let (set, again) = (set.clone(), again.clone()); Callback::from(move |_: MouseEvent| { set.emit(vec![("range", key.to_owned()), ("from", String::new()), ("to", String::new())]); again.emit(()); })}>{ label }</Chip>
                    }
                </div>
                if preset.is_none() {
                    <span class="text-ink-2 tabular-nums">{ format::precise(from) }{ " – " }{ format::precise(to) }</span>
                    <Button kind={Kind::Ghost} onclick={zoom.reform(|_: MouseEvent| None)}>{ "Back to a preset" }</Button>
                }
                <span class="ml-auto flex items-center gap-2">
                    <Views />
                    <Button class="lg:hidden" onclick={(if fields_shown { hide_fields } else { show_fields }).reform(|_: MouseEvent| ())}>{ "Fields" }</Button>
                </span>
            </div>
            if wrong.is_some() {
                <Card title="How a query is written">{ syntax() }</Card>
            } else {
                <Card>
                    { match (&bars.data, &bars.error) {
                        (Some(data), None) => html! { <Bars bars={counted} step={data.step} {from} {to} reached={data.reached} words={("line", "lines")} on_zoom={zoom} /> },
                        (_, Some(error)) => html! { <p role="alert" class="text-bad-ink">{ sentence(&error.to_string()) }</p> },
                        (None, None) => html! { <div class="flex h-[7.3rem] items-end"><div class="skeleton h-20 w-full" /></div> },
                    } }
                </Card>
                <div class="grid shrink-0 grid-cols-1 items-start gap-3.5 lg:grid-cols-[16rem_minmax(0,1fr)]">
                    <div class={classes!((!fields_shown).then_some("max-lg:hidden"))}>
                        <Fields hits={pages.hits.clone()} open={query.get("field").to_owned()} {parts} set={set.clone()} narrow={narrow.clone()} />
                    </div>
                    { results(&first, &pages, (from, to), &set, &narrow, &again) }
                </div>
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct BarProps {
    text: String,
    wrong: Option<String>,
    on: Callback<String>,
}

/// The query, and how it is written.
#[component]
fn Bar(props: &BarProps) -> Html {
    let typed = use_state(|| props.text.clone());
    let input = use_node_ref();
    {
        // Something else changed the query: a value was chosen, or a view.
        let typed = typed.setter();
        use_effect_with(props.text.clone(), move |text| typed.set(text.clone()));
    }
    let oninput = {
        let typed = typed.clone();
        Callback::from(move |event: InputEvent| typed.set(event.target_unchecked_into::<HtmlInputElement>().value()))
    };
    let onkeydown = Callback::from(|event: KeyboardEvent| {
        if event.key() == "Escape"
            && let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
        {
            let _ = input.blur();
        }
    });
    let onsubmit = {
        let (typed, on, input) = (typed.clone(), props.on.clone(), input.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            // The keys are for the lines now.
            if let Some(input) = input.cast::<HtmlInputElement>() {
                let _ = input.blur();
            }
            on.emit(typed.trim().to_owned());
        })
    };
    html! {
        <form {onsubmit} role="search" class="shrink-0">
            <div class="flex items-center gap-2">
                <span class="relative flex min-w-0 flex-1 items-center text-ink-3">
                    <Icon name="search" class="pointer-events-none absolute left-2.5 size-3.5" />
                    <input ref={input} name="query" type="search" data-list-search="true" value={(*typed).clone()} {oninput} {onkeydown} aria-label="Query" autocomplete="off" spellcheck="false"
                        placeholder={"user.name:root OR \"connection reset\""} aria-invalid={props.wrong.is_some().then_some("true")} class="input min-h-9! pl-8 font-mono" />
                    <kbd class="kbd pointer-events-none absolute right-2 hidden md:inline">{ "/" }</kbd>
                </span>
                <Menu label="How a query is written" button={html! { "?" }} class="inline-flex size-9 items-center justify-center rounded-md border border-line bg-panel font-semibold text-ink-2 hover:border-ink-3" panel="right-0 max-h-[70dvh] w-[min(30rem,calc(100vw-1.5rem))] overflow-auto max-md:fixed max-md:inset-x-3">
                    <div class="px-2 py-1">{ syntax() }</div>
                </Menu>
                <Button kind={Kind::Primary} class="min-h-9!" submit=true>{ "Search" }</Button>
            </div>
            if let Some(wrong) = &props.wrong {
                <p role="alert" class="mt-1.5 text-sm text-bad-ink">{ sentence(wrong) }</p>
            }
        </form>
    }
}

const SYNTAX: [(&str, &str); 10] = [
    ("sshd failed", "both words, anywhere in the line"),
    ("\"connection reset\"", "these words in this order"),
    ("user.name:root", "a field's value, upper and lower case alike"),
    ("user.name:(root OR admin)", "one of them; AND, OR, NOT and brackets join anything"),
    ("NOT user.name:root", "without it; -user.name:root is the same"),
    ("process.name:ssh*", "* is any text, ? one character"),
    ("user.name:*", "lines that have the field"),
    ("event.severity:[3 TO 7]", "a range; {3 TO *] leaves the 3 out; also >=3"),
    ("url.original:/login\\?id=\\d+/", "a regular expression"),
    ("source.ip:10.0.0.0/8", "addresses of a network"),
];

fn syntax() -> Html {
    html! {
        <dl class="grid grid-cols-1 gap-x-4 md:grid-cols-[auto_minmax(0,1fr)]">
            for (example, meaning) in SYNTAX {
                <dt class="py-0.5 font-mono text-sm md:whitespace-nowrap">{ example }</dt><dd class="pb-1 text-sm text-ink-2 md:py-0.5">{ meaning }</dd>
            }
        </dl>
    }
}

/// Pages after the first.
struct More {
    hits: Rc<Vec<Hit>>,
    last: Option<Rc<Found>>,
    busy: bool,
    error: Option<Failure>,
    more: Callback<()>,
}

#[derive(Clone, Default)]
struct Later {
    /// The search they belong to.
    of: String,
    pages: Vec<Rc<Found>>,
    busy: bool,
    error: Option<Failure>,
}

/// The lines of the first page and of those that were asked for after it.
#[hook]
fn use_more(path: String, first: &Resource<Found>) -> More {
    let later = use_state(Later::default);
    let mine = later.of == path;
    let pages: Vec<Rc<Found>> =
        first.data.iter().cloned().chain(later.pages.iter().filter(|_| mine).cloned()).collect();
    let names: Vec<usize> = pages.iter().map(|page| Rc::as_ptr(page) as usize).collect();
    let last = pages.last().cloned();
    let hits = use_memo(names, |_| pages.iter().flat_map(|page| page.items.iter().cloned()).collect::<Vec<_>>());
    let more = {
        let (later, next) = (later.clone(), last.as_ref().and_then(|last| last.next.clone()));
        Callback::from(move |()| {
            let Some(next) = next.clone() else { return };
            let known =
                if later.of == path { (*later).clone() } else { Later { of: path.clone(), ..Later::default() } };
            if known.busy {
                return;
            }
            later.set(Later { busy: true, error: None, ..known.clone() });
            let (later, url) = (later.setter(), format!("{path}&after={}", api::escape(&next)));
            wasm_bindgen_futures::spawn_local(async move {
                later.set(match api::get::<Found>(&url).await {
                    Ok(found) => {
                        let pages = known.pages.iter().cloned().chain([Rc::new(found)]).collect();
                        Later { pages, busy: false, error: None, ..known }
                    }
                    Err(error) => Later { busy: false, error: Some(error), ..known },
                });
            });
        })
    };
    let own = if mine { (*later).clone() } else { Later::default() };
    More { hits, last, busy: own.busy, error: own.error, more }
}

/// What a field's value does to the query: name, value, and whether it is shut out.
type Narrow = Callback<(String, String, bool)>;

fn results(
    first: &Resource<Found>,
    pages: &More,
    (from, to): (Micros, Micros),
    set: &Set,
    narrow: &Narrow,
    again: &Callback<()>,
) -> Html {
    let Some(last) = &pages.last else {
        return match &first.error {
            Some(error) => {
                html! { <Card pad=false><Problem error={error.clone()} retry={first.reload.clone()} /></Card> }
            }
            None => html! { <Card pad=false><Skeleton rows=12 /></Card> },
        };
    };
    let cut = (!last.complete).then(|| {
        let reached = last.reached.unwrap_or(to);
        let older = set.reform(move |_: MouseEvent| vec![("from", from.to_string()), ("to", (reached + 1).to_string())]);
        html! {
            <div role="status" class="flex flex-wrap items-center gap-3 border-t border-line-2 bg-warn-soft px-3.5 py-1.5 text-warn-ink">
                <span class="min-w-0 flex-1">{ format!("Time ran out: nothing newer than {} is missing, what is older was not looked at.", format::precise(reached)) }</span>
                if from <= reached { <Button class="min-h-7!" onclick={older}>{ "Look at what is older" }</Button> }
            </div>
        }
    });
    if pages.hits.is_empty() {
        let wider: Address = [("range", "30d".to_owned())].into_iter().collect();
        return html! {
            <Card pad=false>
                if last.complete {
                    <Empty title="No line matches" text="Nothing in this time is like that. Widen the time, or take a word away.">
                        <Button onclick={set.reform(move |_: MouseEvent| [("from", String::new()), ("to", String::new())].into_iter().chain(wider.clone()).collect())}>{ "Look at 30 days" }</Button>
                        <Link<Route> to={Route::Security} classes={LINK}>{ "Does anything arrive?" }</Link<Route>>
                    </Empty>
                }
                { cut.unwrap_or_default() }
            </Card>
        };
    }
    let shown = pages.hits.len() as u64;
    html! {
        <Card pad=false>
            <div class="flex min-h-9 items-center gap-3 border-b border-line px-3.5 text-sm text-ink-3">
                <span class="tabular-nums">{ format::counted(shown, "line", "lines") }{ ", newest first" }</span>
                <span class="hidden md:inline"><kbd class="kbd">{ "J" }</kbd>{ " " }<kbd class="kbd">{ "K" }</kbd>{ " go, " }<kbd class="kbd">{ "Enter" }</kbd>{ " opens" }</span>
                <Button kind={Kind::Ghost} class="ml-auto min-h-7! px-2" onclick={again.reform(|_: MouseEvent| ())}>{ "Refresh" }</Button>
            </div>
            <ol aria-label="Lines">{ for pages.hits.iter().map(|hit| html! { <Line key={hit.position} hit={Rc::new(hit.clone())} narrow={narrow.clone()} /> }) }</ol>
            { cut.unwrap_or_default() }
            if let Some(error) = &pages.error { <p role="alert" class="border-t border-line-2 px-3.5 py-2 text-bad-ink">{ sentence(&error.to_string()) }</p> }
            if last.next.is_some() {
                <div class="flex justify-center border-t border-line-2 py-2"><Button busy={pages.busy} onclick={pages.more.reform(|_: MouseEvent| ())}>{ if pages.busy { "Loading…" } else { "Load more" } }</Button></div>
            }
        </Card>
    }
}

/// `j` and `k` go from line to line, `/` to the query; Enter opens a line because it is a button.
#[hook]
fn use_walk() {
    use_effect_with((), |()| {
        let window = web_sys::window().expect_throw("a page has a window");
        let options = EventListenerOptions::enable_prevent_default();
        let listener = EventListener::new_with_options(&window, "keydown", options, |event| {
            let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
            if event.ctrl_key() || event.meta_key() || event.alt_key() || table::is_busy(event) {
                return;
            }
            let went = match event.key().as_str() {
                "j" | "ArrowDown" => step(true),
                "k" | "ArrowUp" => step(false),
                "/" => element("[data-list-search]").map(|input| input.focus()),
                _ => None,
            };
            if went.is_some() {
                event.prevent_default();
            }
        });
        move || drop(listener)
    });
}

fn element(selector: &str) -> Option<HtmlElement> {
    web_sys::window()?.document()?.query_selector(selector).ok()??.dyn_into().ok()
}

/// Gives the keyboard to the next line or the one before.
fn step(down: bool) -> Option<Result<(), wasm_bindgen::JsValue>> {
    let document = web_sys::window()?.document()?;
    let lines = document.query_selector_all("[data-line]").ok()?;
    let active = document.active_element();
    let line = |place: u32| lines.item(place)?.dyn_into::<HtmlElement>().ok();
    let here = (0..lines.length()).find(|place| {
        // A press within an open line goes on from that line.
        line(*place).and_then(|line| line.parent_element()).is_some_and(|row| row.contains(active.as_deref()))
    });
    let next = match here {
        None => 0,
        Some(here) if down => here + 1,
        Some(here) => here.checked_sub(1)?,
    };
    line(next).map(|line| line.focus())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_narrows_the_query_once() {
        let root = |query: &str, not| narrowed(query, "user.name", "root", not);
        assert_eq!(root("", false), "user.name:root");
        assert_eq!(root("*", true), "NOT user.name:root");
        assert_eq!(root("sshd", false), "sshd user.name:root");
        assert_eq!(root("sshd user.name:root", false), "sshd user.name:root");
        assert_eq!(root("sshd user.name:root", true), "sshd NOT user.name:root");
        assert_eq!(root("NOT user.name:root sshd", false), "user.name:root sshd");
        assert_eq!(root("a OR b", false), "(a OR b) user.name:root");
        assert_eq!(root("user.name:rooted", false), "user.name:rooted user.name:root", "another value");
    }
}
