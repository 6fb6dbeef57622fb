//! The list: sticky head, keyboard (arrows or `j` `k`, `x`, Enter, `/`), selection, totals, CSV and XLSX of exactly what the
//! filters let through, and only the rows in sight in the document, however many there are. On a phone a row is a card of
//! two lines.

use super::{Button, Icon, Kind, use_toast};
use crate::{csv, data::Every, format, xlsx};
use gloo_events::EventListener;
use std::{collections::BTreeSet, rc::Rc};
use wasm_bindgen::{JsCast, UnwrapThrowExt};
use web_sys::{HtmlElement, HtmlInputElement, MediaQueryList};
use yew::prelude::*;

/// Heights of a row and of a card in pixels; `--row` and `--row-card` of the tokens say the same.
const ROW: f64 = 33.0;
const CARD: f64 = 54.0;
/// Rows drawn above and below the sight.
const MARGIN: usize = 12;

/// Where a column's value stands on a phone's card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// First line, left.
    Title,
    /// First line, right.
    Value,
    /// Second line, left; several are joined.
    Detail,
    /// Second line, right.
    Meta,
    /// Not on a phone.
    #[default]
    Wide,
}

/// How a row is shown in one of its cells.
type Shown<T, To> = Rc<dyn Fn(&T) -> To>;

/// A column: how a row's cell reads, how it looks, where it stands on a phone.
pub struct Column<T> {
    title: AttrValue,
    numeric: bool,
    slot: Slot,
    text: Shown<T, String>,
    cell: Option<Shown<T, Html>>,
    class: &'static str,
    fill: bool,
}

impl<T> Column<T> {
    /// A column whose cells read as `text`; that is also what goes into a file.
    pub fn new(title: impl Into<AttrValue>, text: impl Fn(&T) -> String + 'static) -> Self {
        let (numeric, slot, cell, class, fill) = Default::default();
        Self { title: title.into(), numeric, slot, text: Rc::new(text), cell, class, fill }
    }

    /// Cells that look like this.
    pub fn cell(mut self, cell: impl Fn(&T) -> Html + 'static) -> Self {
        self.cell = Some(Rc::new(cell));
        self
    }

    /// Numbers: they line up at the right.
    pub fn num(mut self) -> Self {
        self.numeric = true;
        self
    }

    /// Where it stands on a phone.
    pub fn at(mut self, slot: Slot) -> Self {
        self.slot = slot;
        self
    }

    /// Takes the room that the others leave, and cuts off what has no room.
    pub fn fill(mut self) -> Self {
        self.fill = true;
        self
    }

    /// Classes of its cells.
    pub fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }

    fn draw(&self, row: &T) -> Html {
        match &self.cell {
            Some(cell) => cell(row),
            None => Html::from((self.text)(row)),
        }
    }
}

/// What a list can show.
pub trait Row: Clone + 'static {
    /// The row's name, stable from one answer to the next and different from all others of the list.
    fn key(&self) -> String;
}

/// Properties of [`DataTable`].
#[derive(Properties)]
pub struct DataTableProps<T: 'static> {
    /// Rows.
    pub rows: Rc<Vec<T>>,
    /// Columns.
    pub columns: Rc<Vec<Column<T>>>,
    /// What the file of an export is called; it also names the list for screen readers.
    pub name: AttrValue,
    /// A row is opened by Enter or by pressing it.
    #[prop_or_default]
    pub on_open: Option<Callback<T>>,
    /// Names of the selected rows, where rows can be selected.
    #[prop_or_default]
    pub selected: Option<Rc<BTreeSet<String>>>,
    /// The selection changed.
    #[prop_or_default]
    pub on_select: Callback<BTreeSet<String>>,
    /// Fetches more rows, called when the end comes near.
    #[prop_or_default]
    pub on_more: Option<Callback<()>>,
    /// Fetches all of them, for a file; without it a file holds the rows that are here.
    #[prop_or_default]
    pub every: Option<Every<T>>,
    /// Draws every row in full height and lets the page scroll: for short lists with something below them.
    #[prop_or_default]
    pub whole: bool,
    /// How many there are in all.
    #[prop_or_default]
    pub total: Option<u64>,
    /// Totals of what is shown, at the foot.
    #[prop_or_default]
    pub sums: AttrValue,
    /// Shown when there are no rows.
    pub empty: Html,
    /// It answers to the keyboard of the whole page; a page has one such list.
    #[prop_or(true)]
    pub keys: bool,
}

impl<T> PartialEq for DataTableProps<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.rows, &other.rows)
            && Rc::ptr_eq(&self.columns, &other.columns)
            && self.selected == other.selected
            && self.on_open == other.on_open
            && self.on_select == other.on_select
            && self.on_more == other.on_more
            && self.every == other.every
            && self.whole == other.whole
            && self.total == other.total
            && self.sums == other.sums
            && self.empty == other.empty
    }
}

#[derive(Clone, Copy, PartialEq)]
struct View {
    top: f64,
    height: f64,
}

/// A list of rows.
#[component]
pub fn DataTable<T>(props: &DataTableProps<T>) -> Html
where
    T: Row,
{
    let narrow = use_narrow();
    let node = use_node_ref();
    let view = use_state_eq(|| View { top: 0.0, height: 900.0 });
    let cursor = use_state_eq(|| None::<usize>);
    let height = if narrow { CARD } else { ROW };
    let count = props.rows.len();

    let look = {
        let (node, view) = (node.clone(), view.setter());
        use_callback((), move |(), ()| {
            if let Some(element) = node.cast::<HtmlElement>() {
                // Whole rows: a scroll within a row draws nothing new.
                let top = (f64::from(element.scroll_top()) / ROW).floor() * ROW;
                view.set(View { top, height: f64::from(element.client_height()) });
            }
        })
    };
    {
        let look = look.clone();
        use_effect_with((count, narrow), move |_| look.emit(()));
    }
    let onscroll = {
        let (node, more) = (node.clone(), props.on_more.clone());
        Callback::from(move |_: Event| {
            look.emit(());
            let near = node
                .cast::<HtmlElement>()
                .is_some_and(|element| element.scroll_top() + 2 * element.client_height() > element.scroll_height());
            if let (true, Some(more)) = (near, &more) {
                more.emit(());
            }
        })
    };

    let select = {
        let (selected, on_select, rows) = (props.selected.clone(), props.on_select.clone(), props.rows.clone());
        Callback::from(move |index: usize| {
            if let (Some(selected), Some(row)) = (&selected, rows.get(index)) {
                let mut selected = (**selected).clone();
                let name = row.key();
                if !selected.remove(&name) {
                    selected.insert(name);
                }
                on_select.emit(selected);
            }
        })
    };
    let select_all = {
        let (selected, on_select, rows) = (props.selected.clone(), props.on_select.clone(), props.rows.clone());
        Callback::from(move |_: Event| {
            let all = selected.as_ref().is_some_and(|selected| selected.len() < rows.len());
            on_select.emit(if all { rows.iter().map(Row::key).collect() } else { BTreeSet::new() });
        })
    };
    let open = {
        let (rows, on_open) = (props.rows.clone(), props.on_open.clone());
        Callback::from(move |index: usize| {
            if let (Some(on_open), Some(row)) = (&on_open, rows.get(index)) {
                on_open.emit(row.clone());
            }
        })
    };
    let toast = use_toast();
    let busy = use_state_eq(|| false);
    let export = {
        let (rows, columns, name, every) =
            (props.rows.clone(), props.columns.clone(), props.name.clone(), props.every.clone());
        let busy = busy.setter();
        Callback::from(move |kind: As| {
            let Some(every) = &every else { return save(&rows, &columns, &dated(&name), kind) };
            let (columns, name, busy, toast) = (columns.clone(), name.clone(), busy.clone(), toast.clone());
            busy.set(true);
            every.emit(Callback::from(move |rows: Result<Rc<Vec<T>>, _>| {
                busy.set(false);
                match rows {
                    Ok(rows) => save(&rows, &columns, &dated(&name), kind),
                    Err(failure) => toast.bad(&failure),
                }
            }));
        })
    };
    let saving = Saving { busy: *busy, export };
    use_keys(props.keys, Keyed { count, cursor: &cursor, node: &node, height }, select.clone(), open.clone());

    if props.rows.is_empty() {
        return html! { <div class="rounded-lg border border-line bg-panel shadow-sm">{ props.empty.clone() }</div> };
    }
    let first = ((view.top / height) as usize).saturating_sub(MARGIN).min(count);
    let last = (((view.top + view.height) / height) as usize + MARGIN + 1).min(count);
    let (first, last) = if props.whole { (0, count) } else { (first, last) };
    let list = List { props, first, last, height, cursor: *cursor, select: &select, open: &open };
    // The keyboard comes here by Tab, and the first row in sight is where it begins.
    let onfocus = {
        let (cursor, keys, first) = (cursor.clone(), props.keys, (view.top / height).ceil() as usize);
        Callback::from(move |_: FocusEvent| {
            if keys && cursor.is_none() {
                cursor.set(Some(first));
            }
        })
    };
    html! {
        <section class={classes!("flex", if props.whole { "shrink-0" } else { "min-h-0" }, "flex-col", "overflow-hidden", "rounded-lg", "border", "border-line", "bg-panel", "shadow-sm")} aria-label={props.name.clone()}>
            <div ref={node} tabindex={(!narrow).then_some("0")} class="list-body min-h-0 flex-1 overflow-auto" {onscroll} {onfocus}>
                if narrow { { list.cards() } } else { { list.table(select_all) } }
            </div>
            { list.foot(saving) }
        </section>
    }
}

/// A file's name with the day it was made on.
fn dated(name: &str) -> String {
    format!("{name} {}", format::today())
}

/// The files that a list can be saved as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// Values with commas between them.
    Csv,
    /// A workbook.
    Xlsx,
}

impl As {
    /// What its button says.
    pub fn word(self) -> &'static str {
        match self {
            As::Csv => "CSV",
            As::Xlsx => "XLSX",
        }
    }
}

/// Writes rows into a file and hands it over.
pub fn save<T>(rows: &[T], columns: &[Column<T>], file: &str, kind: As) {
    match kind {
        As::Csv => {
            let mut text = csv::line(columns.iter().map(|column| column.title.as_str()));
            for row in rows {
                text += &csv::line(columns.iter().map(|column| (column.text)(row)));
            }
            csv::download(&format!("{file}.csv"), &text);
        }
        As::Xlsx => {
            let head: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
            let cell = |column: &Column<T>, row: &T| xlsx::Cell::of((column.text)(row), column.numeric);
            let cells: Vec<Vec<_>> =
                rows.iter().map(|row| columns.iter().map(|column| cell(column, row)).collect()).collect();
            let book = xlsx::workbook(file, &head, &cells);
            csv::hand_over(&format!("{file}.xlsx"), XLSX, &book);
        }
    }
}

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The list's way into a file.
struct Saving {
    busy: bool,
    export: Callback<As>,
}

/// What is in sight, and how it is drawn.
struct List<'a, T: 'static> {
    props: &'a DataTableProps<T>,
    first: usize,
    last: usize,
    height: f64,
    cursor: Option<usize>,
    select: &'a Callback<usize>,
    open: &'a Callback<usize>,
}

impl<T: Row> List<'_, T> {
    fn visible(&self) -> impl Iterator<Item = (usize, &T)> {
        self.props.rows[self.first..self.last].iter().enumerate().map(|(i, row)| (self.first + i, row))
    }

    fn is_selected(&self, name: &str) -> bool {
        self.props.selected.as_ref().is_some_and(|selected| selected.contains(name))
    }

    fn before(&self) -> String {
        (self.first as f64 * self.height).to_string()
    }

    fn after(&self) -> String {
        ((self.props.rows.len() - self.last) as f64 * self.height).to_string()
    }

    fn table(&self, select_all: Callback<Event>) -> Html {
        let props = self.props;
        let span = (props.columns.len() + usize::from(props.selected.is_some())).to_string();
        html! {
            <table class="table" aria-rowcount={props.rows.len().to_string()}>
                <thead>
                    <tr>
                        if let Some(selected) = &props.selected {
                            <th class="pick" scope="col">
                                <input type="checkbox" aria-label="Select all" checked={!selected.is_empty() && selected.len() >= props.rows.len()} onchange={select_all} />
                            </th>
                        }
                        for column in props.columns.iter() {
                            <th scope="col" class={classes!(column.numeric.then_some("num"), column.fill.then_some("fill"))}>{ &column.title }</th>
                        }
                    </tr>
                </thead>
                <tbody>
                    if self.first > 0 {
                        <tr key="before"><td class="gap" colspan={span.clone()} height={self.before()} /></tr>
                    }
                    { for self.visible().map(|(index, row)| self.row(index, row)) }
                    if self.last < props.rows.len() {
                        <tr key="after"><td class="gap" colspan={span} height={self.after()} /></tr>
                    }
                </tbody>
            </table>
        }
    }

    fn row(&self, index: usize, row: &T) -> Html {
        let props = self.props;
        let name = row.key();
        let chosen = self.is_selected(&name);
        let here = self.cursor == Some(index);
        html! {
            <tr key={name} class={classes!("row", chosen.then_some("sel"), here.then_some("at"), props.on_open.is_some().then_some("cursor-pointer"))}
                aria-selected={props.selected.is_some().then(|| chosen.to_string())} aria-current={here.then_some("true")}
                onclick={self.press(index)}>
                if props.selected.is_some() {
                    <td class="pick">
                        <input type="checkbox" tabindex="-1" aria-label="Select" checked={chosen} onchange={self.select.reform(move |_: Event| index)} />
                    </td>
                }
                for column in props.columns.iter() {
                    <td class={classes!(column.numeric.then_some("num"), column.fill.then_some("fill"), column.class)}>{ column.draw(row) }</td>
                }
            </tr>
        }
    }

    fn cards(&self) -> Html {
        html! {
            <ul class="cards">
                if self.first > 0 {
                    <li key="before"><svg class="block" width="1" height={self.before()} /></li>
                }
                { for self.visible().map(|(index, row)| self.card(index, row)) }
                if self.last < self.props.rows.len() {
                    <li key="after"><svg class="block" width="1" height={self.after()} /></li>
                }
            </ul>
        }
    }

    fn card(&self, index: usize, row: &T) -> Html {
        let name = row.key();
        let chosen = self.is_selected(&name);
        let slot = |slot: Slot| {
            let mut cells =
                self.props.columns.iter().filter(|column| column.slot == slot).map(|column| column.draw(row));
            let first = cells.next().unwrap_or_default();
            html! { <>{ first }{ for cells.map(|cell| html! { <>{ " · " }{ cell }</> }) }</> }
        };
        html! {
            <li key={name} class={classes!("card-row", chosen.then_some("sel"))} role={self.props.on_open.is_some().then_some("button")}
                tabindex={self.props.on_open.is_some().then_some("0")} onclick={self.press(index)}
                onkeydown={let open = self.open.clone(); Callback::from(move |event: KeyboardEvent| if event.key() == "Enter" { open.emit(index) })}>
                <span class="font-medium">{ slot(Slot::Title) }</span>
                <span class="text-right tabular-nums">{ slot(Slot::Value) }</span>
                <span class="text-sm text-ink-3">{ slot(Slot::Detail) }</span>
                <span class="text-right text-sm text-ink-3">{ slot(Slot::Meta) }</span>
            </li>
        }
    }

    fn foot(&self, saving: Saving) -> Html {
        let props = self.props;
        let shown = props.rows.len() as u64;
        let file = |kind: As| {
            html! {
                <Button kind={Kind::Ghost} class="min-h-7! px-2 text-sm" busy={saving.busy} label={format!("Save what matches the filters as {}", kind.word())}
                    onclick={saving.export.reform(move |_: MouseEvent| kind)}>
                    <Icon name="download" class="size-3.5" />{ kind.word() }
                </Button>
            }
        };
        let more = props.on_more.as_ref().map(|more| more.reform(|_: MouseEvent| ()));
        html! {
            <div class="flex min-h-9 shrink-0 items-center gap-3 border-t border-line px-3.5 text-sm text-ink-3">
                <span class="tabular-nums">
                    { format::count(shown) }
                    { match props.total { Some(total) if total > shown => format!(" of {}", format::count(total)), _ => String::new() } }
                    { " shown" }
                </span>
                if let Some(more) = more {
                    <Button kind={Kind::Ghost} class="min-h-7! px-2 text-sm" onclick={more}>{ "Load more" }</Button>
                }
                <b class="ml-auto hidden truncate font-semibold tabular-nums text-ink md:inline">{ &props.sums }</b>
                <span class="-mr-2 ml-auto flex md:ml-0">{ file(As::Csv) }{ file(As::Xlsx) }</span>
            </div>
        }
    }

    /// A press on a row opens it, unless it was meant for something inside.
    fn press(&self, index: usize) -> Callback<MouseEvent> {
        let open = self.open.clone();
        Callback::from(move |event: MouseEvent| {
            let inner = event
                .target()
                .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
                .and_then(|element| element.closest("a, button, input, label").ok().flatten())
                .is_some();
            if !inner {
                open.emit(index);
            }
        })
    }
}

/// What the keys move in.
struct Keyed<'a> {
    count: usize,
    cursor: &'a UseStateHandle<Option<usize>>,
    node: &'a NodeRef,
    height: f64,
}

/// Rows that fit into the sight.
fn leap(node: &NodeRef, height: f64) -> usize {
    let size = node.cast::<HtmlElement>().map_or(0.0, |element| f64::from(element.client_height()));
    ((size / height) as usize).saturating_sub(2).max(1)
}

/// The keyboard of the page, while nobody types and no dialog is open.
#[hook]
fn use_keys(on: bool, list: Keyed<'_>, select: Callback<usize>, open: Callback<usize>) {
    let Keyed { count, cursor, node, height } = list;
    let act = {
        let (cursor, node) = (cursor.clone(), node.clone());
        move |event: &KeyboardEvent| {
            let go = |to: usize| {
                if let Some(element) = node.cast::<HtmlElement>() {
                    // The keyboard goes along, so that Enter opens the row and does not press the button it came from.
                    let _ = element.focus();
                    let (row, size) = (to as f64 * height, f64::from(element.client_height()));
                    let top = f64::from(element.scroll_top());
                    if row < top {
                        element.set_scroll_top(row as i32);
                    } else if row + 3.0 * height > top + size {
                        element.set_scroll_top((row + 3.0 * height - size) as i32);
                    }
                }
                // After the focus, which begins at the first row in sight.
                cursor.set(Some(to));
            };
            let at = cursor.filter(|at| *at < count);
            match (event.key().as_str(), at) {
                ("/", _) => {
                    if let Some(search) =
                        query("[data-list-search]").and_then(|element| element.dyn_into::<HtmlInputElement>().ok())
                    {
                        let _ = search.focus();
                    }
                }
                ("j" | "ArrowDown", at) if count > 0 => go(at.map_or(0, |at| (at + 1).min(count - 1))),
                ("k" | "ArrowUp", at) if count > 0 => go(at.map_or(0, |at| at.saturating_sub(1))),
                ("Home", Some(_)) => go(0),
                ("End", Some(_)) => go(count - 1),
                ("PageDown", Some(at)) => go((at + leap(&node, height)).min(count - 1)),
                ("PageUp", Some(at)) => go(at.saturating_sub(leap(&node, height))),
                ("x", Some(at)) => select.emit(at),
                ("Enter" | "o", Some(at)) => open.emit(at),
                ("Escape", Some(_)) => cursor.set(None),
                _ => return,
            }
            event.prevent_default();
        }
    };
    let latest = use_mut_ref(|| Rc::new(|_: &KeyboardEvent| ()) as Rc<dyn Fn(&KeyboardEvent)>);
    *latest.borrow_mut() = Rc::new(act);
    use_effect_with(on, move |on| {
        let listener = on.then(|| {
            let window = web_sys::window().expect_throw("a page has a window");
            EventListener::new_with_options(
                &window,
                "keydown",
                gloo_events::EventListenerOptions::enable_prevent_default(),
                move |event| {
                    let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
                    if !event.ctrl_key() && !event.meta_key() && !event.alt_key() && !is_busy(event) {
                        let act = latest.borrow().clone();
                        act(event);
                    }
                },
            )
        });
        move || drop(listener)
    });
}

/// Somebody types, presses a button, or a dialog is open: the keys are not for the list.
pub fn is_busy(event: &KeyboardEvent) -> bool {
    let within = |selector: &str| {
        event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
            .and_then(|element| element.closest(selector).ok().flatten())
            .is_some()
    };
    let types = within("input:not([type=checkbox]), textarea, select, [contenteditable]");
    let presses = event.key() == "Enter" && within("a, button");
    types || presses || query("dialog[open]").is_some()
}

fn query(selector: &str) -> Option<web_sys::Element> {
    web_sys::window()?.document()?.query_selector(selector).ok().flatten()
}

/// Whether the page is as narrow as a phone; changes when that changes.
#[hook]
pub fn use_narrow() -> bool {
    let list =
        use_memo((), |()| web_sys::window().and_then(|window| window.match_media("(max-width: 720px)").ok().flatten()));
    let matches = |list: &Option<MediaQueryList>| list.as_ref().is_some_and(MediaQueryList::matches);
    let narrow = use_state_eq(|| matches(&list));
    {
        let narrow = narrow.setter();
        use_effect_with((), move |()| {
            let inner = (*list).clone();
            let listener = (*list)
                .as_ref()
                .map(|target| EventListener::new(target, "change", move |_| narrow.set(matches(&inner))));
            move || drop(listener)
        });
    }
    *narrow
}
