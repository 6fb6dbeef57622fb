//! Hooks that bring data to a page: fetch, keep what was there until the new answer comes, fetch again (once for a burst)
//! when the live bus says so. Also the address's query string, where filters live.

use crate::{
    api::{self, Failure, List},
    live::{self, News},
    route::Route,
};
use gloo_timers::callback::{Interval, Timeout};
use serde::de::DeserializeOwned;
use std::{any::Any, cell::RefCell, collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// A burst of publications within so many milliseconds is one fetch.
const COALESCE: u32 = 120;
/// While the live connection is down, what is shown is fetched every so many milliseconds.
const POLL: u32 = 10_000;
/// Rows of one request of a long list.
pub const PAGE: usize = 200;

thread_local! {
    /// Last answers by path, so that going back shows at once what was there. Dropped at the end of the session.
    static SEEN: RefCell<BTreeMap<String, Rc<dyn Any>>> = RefCell::default();
}

/// Forgets every answer.
pub fn forget() {
    SEEN.with_borrow_mut(BTreeMap::clear);
}

fn seen<T: 'static>(path: &str) -> Option<Rc<T>> {
    SEEN.with_borrow(|seen| seen.get(path).cloned()).and_then(|any| any.downcast().ok())
}

fn keep<T: 'static>(path: &str, value: Rc<T>) {
    SEEN.with_borrow_mut(|seen| {
        // A bound, not a cache policy: a day of filtering must not fill the memory.
        if seen.len() > 200 {
            seen.clear();
        }
        seen.insert(path.to_owned(), value);
    });
}

/// What a route answered, or why not.
pub struct Resource<T> {
    /// The last good answer.
    pub data: Option<Rc<T>>,
    /// Why the last request failed, if it did.
    pub error: Option<Failure>,
    /// Fetches again.
    pub reload: Callback<()>,
}

impl<T> Clone for Resource<T> {
    fn clone(&self) -> Self {
        Self { data: self.data.clone(), error: self.error.clone(), reload: self.reload.clone() }
    }
}

struct Answer<T> {
    data: Option<Rc<T>>,
    error: Option<Failure>,
}

/// `GET path`, again whenever one of `channels` has news. A path of `None` asks nothing.
#[hook]
pub fn use_resource<T>(path: Option<String>, channels: &'static [&'static str]) -> Resource<T>
where
    T: DeserializeOwned + 'static,
{
    let first = path.as_deref().and_then(seen::<T>);
    let answer = use_state(|| Rc::new(Answer { data: first, error: None }));
    let turn = use_mut_ref(|| 0_u32);
    let fetch = {
        let (answer, turn) = (answer.setter(), turn);
        let shown = use_mut_ref(|| None::<Rc<T>>);
        use_callback(path.clone(), move |(), path: &Option<String>| {
            let Some(path) = path.clone() else { return };
            *turn.borrow_mut() += 1;
            let mine = *turn.borrow();
            let (answer, turn, shown) = (answer.clone(), turn.clone(), shown.clone());
            wasm_bindgen_futures::spawn_local(async move {
                let got = api::get::<T>(&path).await;
                // A later request was sent meanwhile: its answer is the one to show.
                if *turn.borrow() != mine {
                    return;
                }
                answer.set(Rc::new(match got {
                    Ok(value) => {
                        let value = Rc::new(value);
                        keep(&path, value.clone());
                        *shown.borrow_mut() = Some(value.clone());
                        Answer { data: Some(value), error: None }
                    }
                    Err(error) => Answer { data: shown.borrow().clone(), error: Some(error) },
                }));
            });
        })
    };
    {
        let (fetch, answer) = (fetch.clone(), answer.setter());
        use_effect_with(path.clone(), move |path| {
            if let Some(known) = path.as_deref().and_then(seen::<T>) {
                answer.set(Rc::new(Answer { data: Some(known), error: None }));
            }
            fetch.emit(());
        });
    }
    use_news(channels, fetch.clone());
    Resource { data: answer.data.clone(), error: answer.error.clone(), reload: fetch }
}

/// Calls back, once for a burst, whenever one of the channels has news; by the clock while the connection is down.
#[hook]
pub fn use_news(channels: &'static [&'static str], tell: Callback<()>) {
    let latest = use_mut_ref(|| tell.clone());
    *latest.borrow_mut() = tell;
    let live = use_context::<crate::session::Session>().is_none_or(|session| session.live);
    let timer = use_mut_ref(|| None::<Timeout>);
    let soon = {
        let latest = latest.clone();
        use_callback((), move |_: News, ()| {
            if timer.borrow().is_some() {
                return;
            }
            let (latest, done) = (latest.clone(), timer.clone());
            *timer.borrow_mut() = Some(Timeout::new(COALESCE, move || {
                done.borrow_mut().take();
                let tell = latest.borrow().clone();
                tell.emit(());
            }));
        })
    };
    use_effect_with(channels, move |channels| {
        let watches: Vec<_> = channels.iter().map(|channel| live::watch(channel, soon.clone())).collect();
        move || drop(watches)
    });
    use_effect_with((live, channels.is_empty()), move |(live, none)| {
        let poll = (!live && !none).then(|| {
            Interval::new(POLL, move || {
                let tell = latest.borrow().clone();
                tell.emit(());
            })
        });
        move || drop(poll)
    });
}

/// A long list, page by page.
pub struct Pages<T> {
    /// What was fetched so far.
    pub rows: Option<Rc<Vec<T>>>,
    /// How many there are in all, if the server knows.
    pub total: Option<u64>,
    /// Fetches the next page; none at the end.
    pub more: Option<Callback<()>>,
    /// Why the last request failed.
    pub error: Option<Failure>,
    /// Fetches again.
    pub reload: Callback<()>,
    /// Fetches all there is with these filters, for a file.
    pub every: Every<T>,
}

/// Hands all rows of a long list to whoever asks, or says why not.
pub type Every<T> = Callback<Callback<Result<Rc<Vec<T>>, Failure>>>;

/// Rows of one request where all are wanted; the most that a route gives.
const GULP: usize = 1000;

struct Loaded<T> {
    rows: Rc<Vec<T>>,
    next: Option<String>,
    total: Option<u64>,
}

/// `GET path` page by page (`limit`, `after`), again whenever one of `channels` has news.
#[hook]
pub fn use_pages<T>(path: String, channels: &'static [&'static str]) -> Pages<T>
where
    T: DeserializeOwned + Clone + 'static,
{
    let loaded = use_state(|| seen::<Loaded<T>>(&path));
    let of = path.clone();
    let error = use_state(|| None::<Failure>);
    let turn = use_mut_ref(|| 0_u32);
    let count = use_mut_ref(|| 0_usize);
    // The cursor that is being fetched: scrolling asks for the same page many times.
    let asked = use_mut_ref(|| None::<String>);
    let fetch = {
        let (loaded, error) = (loaded.setter(), error.setter());
        use_callback(path.clone(), move |after: Option<(Rc<Vec<T>>, String)>, path: &String| {
            let cursor = after.as_ref().map(|(_, cursor)| cursor.clone());
            if cursor.is_some() && *asked.borrow() == cursor {
                return;
            }
            *asked.borrow_mut() = cursor;
            let asked = asked.clone();
            *turn.borrow_mut() += 1;
            let mine = *turn.borrow();
            let (loaded, error, turn, count, path) =
                (loaded.clone(), error.clone(), turn.clone(), count.clone(), path.clone());
            wasm_bindgen_futures::spawn_local(async move {
                let joint = joint(&path);
                let url = match &after {
                    Some((_, cursor)) => format!("{path}{joint}limit={PAGE}&after={}", api::escape(cursor)),
                    // What was loaded before is asked for again in one piece, so that nothing jumps.
                    None => format!("{path}{joint}limit={}", (*count.borrow()).clamp(PAGE, 1000)),
                };
                let got = api::get::<List<T>>(&url).await;
                if *turn.borrow() != mine {
                    return;
                }
                *asked.borrow_mut() = None;
                match got {
                    Ok(list) => {
                        let rows = match after {
                            Some((before, _)) => before.iter().cloned().chain(list.items).collect(),
                            None => list.items,
                        };
                        *count.borrow_mut() = rows.len();
                        let value = Rc::new(Loaded { rows: Rc::new(rows), next: list.next, total: list.total });
                        keep(&path, value.clone());
                        loaded.set(Some(value));
                        error.set(None);
                    }
                    Err(cause) => error.set(Some(cause)),
                }
            });
        })
    };
    {
        let (fetch, loaded) = (fetch.clone(), loaded.setter());
        use_effect_with(path, move |path| {
            if let Some(known) = seen::<Loaded<T>>(path) {
                loaded.set(Some(known));
            }
            fetch.emit(None);
        });
    }
    let reload = {
        let fetch = fetch.clone();
        Callback::from(move |()| fetch.emit(None))
    };
    use_news(channels, reload.clone());
    let every = use_callback(of, |tell: Callback<Result<Rc<Vec<T>>, Failure>>, path: &String| {
        let path = path.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let mut rows = Vec::new();
            let mut cursor = String::new();
            let told = loop {
                let after = if cursor.is_empty() { String::new() } else { format!("&after={}", api::escape(&cursor)) };
                match api::get::<List<T>>(&format!("{path}{}limit={GULP}{after}", joint(&path))).await {
                    Ok(list) => {
                        rows.extend(list.items);
                        match list.next {
                            Some(next) => cursor = next,
                            None => break Ok(Rc::new(rows)),
                        }
                    }
                    Err(cause) => break Err(cause),
                }
            };
            tell.emit(told);
        });
    });
    let more = loaded.as_ref().and_then(|loaded| {
        let (fetch, rows, next) = (fetch.clone(), loaded.rows.clone(), loaded.next.clone()?);
        Some(Callback::from(move |()| fetch.emit(Some((rows.clone(), next.clone())))))
    });
    Pages {
        rows: loaded.as_ref().map(|loaded| loaded.rows.clone()),
        total: loaded.as_ref().and_then(|loaded| loaded.total),
        more,
        error: (*error).clone(),
        reload,
        every,
    }
}

/// What joins one more parameter to a path.
fn joint(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

/// The address's query string.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// A value, empty if absent.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether any of these is set.
    pub fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| !self.get(name).is_empty())
    }
}

/// The query string and how to change it: `(name, value)` pairs, an empty value removes. History is replaced, not grown.
#[hook]
pub fn use_query() -> (Query, Callback<Vec<(&'static str, String)>>) {
    let location = use_location();
    let query: BTreeMap<String, String> =
        location.and_then(|location| location.query::<BTreeMap<String, String>>().ok()).unwrap_or_default();
    let navigator = use_navigator();
    let route = use_route::<Route>().unwrap_or(Route::Missing);
    let set = use_callback(
        (query.clone(), route, navigator),
        |changes: Vec<(&'static str, String)>, (query, route, navigator)| {
            let before = query;
            let mut query = query.clone();
            for (name, value) in changes {
                if value.is_empty() {
                    query.remove(name);
                } else {
                    query.insert(name.to_owned(), value);
                }
            }
            if let (Some(navigator), true) = (navigator, query != *before) {
                let changed = if query.is_empty() {
                    navigator.replace(route);
                    Ok(())
                } else {
                    navigator.replace_with_query(route, &query)
                };
                debug_assert!(changed.is_ok(), "a map of texts always serialises");
            }
        },
    );
    (Query(query), set)
}

/// A value that follows `value` once it has been still for `wait` milliseconds: for searching while someone types.
#[hook]
pub fn use_settled(value: String, wait: u32) -> String {
    let settled = use_state(|| value.clone());
    {
        let settled = settled.clone();
        use_effect_with(value, move |value| {
            let value = value.clone();
            let timer = (*settled != value).then(|| Timeout::new(wait, move || settled.set(value)));
            move || drop(timer)
        });
    }
    (*settled).clone()
}
