//! A new entry: lines from the keyboard, a running balance for each currency, and a draft that a reload does not lose.

use crate::{
    api::{self, Failure, List},
    components::{Button, Card, Field, Icon, Input, Kind, Tag, Tone, status::sentence, use_toast},
    data::use_resource,
    format,
    route::Route,
    session::use_session,
};
use rust_decimal::Decimal;
use sent_contract::capital::{Account, Entry, NewEntry as Body, NewLine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;
use yew::prelude::*;
use yew_router::prelude::*;

const DRAFT: &str = "draft:entry";
const CURRENCY: &str = "currency";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Line {
    account: String,
    debit: String,
    credit: String,
    currency: String,
    memo: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Draft {
    /// Made once, so that sending it twice posts it once.
    id: Uuid,
    date: String,
    description: String,
    lines: Vec<Line>,
}

/// What a field does to the draft.
type Edit = Box<dyn FnOnce(&mut Draft)>;

impl Draft {
    fn new(base: Option<&str>) -> Self {
        let line = Line { currency: usual_currency(base), ..Line::default() };
        Self { id: api::new_id(), date: format::today(), description: String::new(), lines: vec![line.clone(), line] }
    }

    fn kept() -> Option<Self> {
        let text = storage()?.get_item(DRAFT).ok().flatten()?;
        serde_json::from_str(&text).ok().filter(|draft: &Self| draft.lines.len() >= 2)
    }

    fn keep(&self) {
        if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(self)) {
            // Where storage is full or refused, only a reload would miss it.
            let _ = storage.set_item(DRAFT, &text);
        }
    }
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.session_storage().ok().flatten()
}

/// The currency of the last entry that was posted from this browser, else that of the books.
fn usual_currency(base: Option<&str>) -> String {
    let kept = web_sys::window().and_then(|window| window.local_storage().ok().flatten());
    kept.and_then(|kept| kept.get_item(CURRENCY).ok().flatten()).unwrap_or_else(|| base.unwrap_or("EUR").to_owned())
}

fn keep_currency(currency: &str) {
    if let Some(kept) = web_sys::window().and_then(|window| window.local_storage().ok().flatten()) {
        let _ = kept.set_item(CURRENCY, currency);
    }
}

fn drop_draft() {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(DRAFT);
    }
}

/// What was typed as an amount: digits with a decimal point, commas between thousands allowed.
fn amount(text: &str) -> Result<Decimal, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Decimal::ZERO);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let well = groups.clone().all(|group| group.len() == 3) && (first.len() <= 3 || groups.clone().next().is_none());
    if !well || fraction.contains(',') {
        return Err("write thousands as 1,000 and decimals as 0.50");
    }
    let plain =
        if fraction.is_empty() { whole.replace(',', "") } else { format!("{}.{fraction}", whole.replace(',', "")) };
    match Decimal::from_str_exact(&plain) {
        Ok(value) if value.is_sign_negative() && !value.is_zero() => Err("write a negative amount on the other side"),
        Ok(value) => Ok(value),
        Err(_) => Err("not a number"),
    }
}

impl Line {
    fn is_blank(&self) -> bool {
        self.account.trim().is_empty() && self.debit.trim().is_empty() && self.credit.trim().is_empty()
    }

    /// Signed, debit positive.
    fn signed(&self) -> Result<Decimal, &'static str> {
        let (debit, credit) = (amount(&self.debit)?, amount(&self.credit)?);
        match (debit.is_zero(), credit.is_zero()) {
            (false, false) => Err("a line is a debit or a credit"),
            (true, _) => Ok(-credit),
            (false, true) => Ok(debit),
        }
    }

    fn problem(&self) -> Option<&'static str> {
        if self.is_blank() {
            return None;
        }
        match self.signed() {
            Err(problem) => Some(problem),
            Ok(_) if self.account.trim().is_empty() => Some("which account?"),
            Ok(value) if value.is_zero() => Some("how much?"),
            Ok(_) if self.currency.trim().is_empty() => Some("which currency?"),
            Ok(_) => None,
        }
    }
}

/// What is still missing on the other side, by currency.
fn balance(lines: &[Line]) -> BTreeMap<String, Decimal> {
    let mut sums = BTreeMap::<String, Decimal>::new();
    for line in lines.iter().filter(|line| !line.is_blank()) {
        let sum = sums.entry(line.currency.trim().to_owned()).or_default();
        *sum = sum.saturating_add(line.signed().unwrap_or_default());
    }
    sums
}

/// The page.
#[component]
pub fn NewEntry() -> Html {
    let toast = use_toast();
    let navigator = use_navigator();
    let accounts = use_resource::<List<Account>>(Some("/api/capital/accounts".into()), &["table:accounts"]);
    let base = use_session().me.currency.clone();
    let draft = use_state(|| Draft::kept().unwrap_or_else(|| Draft::new(base.as_deref())));
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    use_effect_with((*draft).clone(), |draft| draft.keep());

    let edit = {
        let draft = draft.clone();
        Callback::from(move |change: Edit| {
            let mut next = (*draft).clone();
            change(&mut next);
            draft.set(next);
        })
    };
    let add = {
        let edit = edit.clone();
        Callback::from(move |()| {
            edit.emit(Box::new(|draft| {
                // The new line proposes what is missing on the other side.
                let last = draft.lines.last().map(|line| line.currency.clone()).unwrap_or_default();
                let open = balance(&draft.lines).into_iter().find(|(_, sum)| !sum.is_zero());
                let mut line = Line { currency: last, ..Line::default() };
                if let Some((currency, sum)) = open {
                    let side = if sum.is_sign_negative() { &mut line.debit } else { &mut line.credit };
                    *side = sum.abs().normalize().to_string();
                    line.currency = currency;
                }
                draft.lines.push(line);
            }));
        })
    };
    let lines: Vec<&Line> = draft.lines.iter().filter(|line| !line.is_blank()).collect();
    let sums = balance(&draft.lines);
    let balanced = sums.values().all(Decimal::is_zero);
    let several = sums.len() > 1;
    let sound = lines.len() >= 2 && lines.iter().all(|line| line.problem().is_none());
    // An entry that spans currencies is balanced by the system's trading legs; within one currency it must be balanced here.
    let ready = sound && (balanced || several) && !draft.description.trim().is_empty();

    let post = {
        let (draft, busy, error) = (draft.clone(), busy.clone(), error.clone());
        Callback::from(move |()| {
            if !ready || *busy {
                return;
            }
            let body = Body {
                id: draft.id,
                date: draft.date.clone(),
                description: draft.description.trim().to_owned(),
                series: None,
                lines: draft
                    .lines
                    .iter()
                    .filter(|line| !line.is_blank())
                    .map(|line| NewLine {
                        account: line.account.trim().to_owned(),
                        amount: line.signed().unwrap_or_default(),
                        currency: line.currency.trim().to_owned(),
                        memo: Some(line.memo.trim().to_owned()).filter(|memo| !memo.is_empty()),
                    })
                    .collect(),
            };
            let (busy, error, toast, navigator) = (busy.clone(), error.clone(), toast.clone(), navigator.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<Entry>("/api/capital/entries", &body).await {
                    Ok(entry) => {
                        drop_draft();
                        if let Some(line) = body.lines.first() {
                            keep_currency(&line.currency);
                        }
                        toast.ok(format!("{} posted", entry.number));
                        if let Some(navigator) = navigator {
                            navigator.push(&Route::Entry { id: entry.id.to_string() });
                        }
                    }
                    Err(failure) => {
                        error.set(Some(failure));
                        busy.set(false);
                    }
                }
            });
        })
    };
    let keys = {
        let post = post.clone();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
                event.prevent_default();
                post.emit(());
            }
        })
    };
    let clear = {
        let (draft, error) = (draft.clone(), error.clone());
        Callback::from(move |_: MouseEvent| {
            drop_draft();
            error.set(None);
            draft.set(Draft::new(base.as_deref()));
        })
    };
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    html! {
        <div class="mx-auto flex w-full max-w-[64rem] flex-col gap-3.5" onkeydown={keys}>
            <Card>
                <div class="grid gap-3 md:grid-cols-[10rem_1fr]">
                    <Field label="Date" error={failure("date")}>
                        <Input name="date" kind="date" value={draft.date.clone()} on={let edit = edit.clone(); Callback::from(move |text| edit.emit(Box::new(move |draft| draft.date = text)))} />
                    </Field>
                    <Field label="Description" error={failure("description")}>
                        <Input name="description" autofocus=true value={draft.description.clone()} placeholder="What it is" on={let edit = edit.clone(); Callback::from(move |text| edit.emit(Box::new(move |draft| draft.description = text)))} />
                    </Field>
                </div>
            </Card>
            <Card title="Lines" pad=false aside={html! { <span class="hidden md:inline">{ "Enter: next line · Ctrl Enter: post" }</span> }}>
                <datalist id="accounts">
                    if let Some(accounts) = &accounts.data {
                        for account in accounts.items.iter() { <option value={account.name.clone()} /> }
                    }
                </datalist>
                <div class="hidden grid-cols-[minmax(0,2fr)_8rem_8rem_5rem_minmax(0,1fr)_2rem] gap-2 px-3.5 pt-2.5 text-sm text-ink-3 md:grid">
                    <span>{ "Account" }</span><span class="text-right">{ "Debit" }</span><span class="text-right">{ "Credit" }</span><span>{ "Currency" }</span><span>{ "Note" }</span><span />
                </div>
                <ol class="flex flex-col">
                    for (index, line) in draft.lines.iter().enumerate() {
                        <LineRow key={index} {index} line={line.clone()} last={index + 1 == draft.lines.len()} removable={draft.lines.len() > 2}
                            edit={edit.clone()} add={add.clone()}
                            error={failure(&format!("lines.{index}")).or_else(|| failure(&format!("lines.{index}.account"))).or_else(|| failure(&format!("lines.{index}.amount")))} />
                    }
                </ol>
                <div class="flex flex-wrap items-center gap-3 border-t border-line px-3.5 py-2.5">
                    <Button kind={Kind::Ghost} onclick={add.reform(|_: MouseEvent| ())}><Icon name="plus" />{ "Add a line" }</Button>
                    <div class="ml-auto flex flex-wrap items-center gap-3 tabular-nums" role="status">
                        { for sums.iter().map(|(currency, sum)| open_sum(currency, *sum, several)) }
                    </div>
                </div>
            </Card>
            if let Some(error) = error.as_ref() {
                <p role="alert" class="text-bad-ink">
                    { if error.blames_fields() { "Nothing was posted: what is wrong stands beside its field.".to_owned() } else { sentence(&error.to_string()) } }
                    if blames_an_account(error) {
                        { " " }<Link<Route> to={Route::Accounts} classes="text-accent underline">{ "Make a missing account" }</Link<Route>>{ "; this entry stays as it is typed." }
                    }
                </p>
            }
            <div class="flex items-center gap-2">
                <Button kind={Kind::Ghost} onclick={clear}>{ "Clear" }</Button>
                <span class="ml-auto text-sm text-ink-3">{ "Once posted it cannot be changed, only reversed." }</span>
                <Button kind={Kind::Primary} class="p" disabled={!ready} busy={*busy} onclick={post.reform(|_: MouseEvent| ())}>{ "Post" }<kbd class="kbd ml-1 hidden md:inline">{ "Ctrl ↵" }</kbd></Button>
            </div>
        </div>
    }
}

fn open_sum(currency: &str, sum: Decimal, several: bool) -> Html {
    let text = format!("{} {currency}", format::money(sum.abs(), currency));
    if sum.is_zero() {
        html! { <Tag tone={Tone::Ok}>{ format!("{currency} balanced") }</Tag> }
    } else if several {
        html! { <Tag tone={Tone::Warn}>{ format!("{text} through {}", "Equity:Trading") }</Tag> }
    } else if sum.is_sign_negative() {
        html! { <Tag tone={Tone::Warn}>{ format!("{text} of debits missing") }</Tag> }
    } else {
        html! { <Tag tone={Tone::Warn}>{ format!("{text} of credits missing") }</Tag> }
    }
}

#[derive(Properties, PartialEq)]
struct LineProps {
    index: usize,
    line: Line,
    last: bool,
    removable: bool,
    edit: Callback<Edit>,
    add: Callback<()>,
    error: Option<String>,
}

#[component]
fn LineRow(props: &LineProps) -> Html {
    let index = props.index;
    let row = use_node_ref();
    let set = |change: fn(&mut Line, String)| {
        let edit = props.edit.clone();
        Callback::from(move |text: String| {
            edit.emit(Box::new(move |draft: &mut Draft| {
                if let Some(line) = draft.lines.get_mut(index) {
                    change(line, text);
                }
            }));
        })
    };
    let remove = {
        let edit = props.edit.clone();
        Callback::from(move |_: MouseEvent| {
            edit.emit(Box::new(move |draft: &mut Draft| {
                draft.lines.remove(index);
            }));
        })
    };
    {
        // A line that was just added takes the keyboard.
        let row = row.clone();
        use_effect_with(index, move |index| {
            if *index >= 2 {
                focus_first(&row);
            }
        });
    }
    let keys = {
        let (add, last, row) = (props.add.clone(), props.last, row.clone());
        Callback::from(move |event: KeyboardEvent| {
            if event.key() != "Enter" || event.ctrl_key() || event.meta_key() {
                return;
            }
            event.prevent_default();
            if last {
                add.emit(());
            } else if let Some(next) = row.cast::<HtmlElement>().and_then(|row| row.next_element_sibling())
                && let Ok(Some(input)) = next.query_selector("input")
                && let Ok(input) = input.dyn_into::<HtmlElement>()
            {
                let _ = input.focus();
            }
        })
    };
    let line = &props.line;
    let problem = props.error.clone().or_else(|| line.problem().map(ToOwned::to_owned)).filter(|_| !line.is_blank());
    let name = |what: &str| format!("line {} {what}", index + 1);
    html! {
        <li ref={row} class="border-b border-line-2 px-3.5 py-1.5 last:border-0" onkeydown={keys}>
            <div class="grid grid-cols-[1fr_1fr_4.5rem_2rem] gap-2 md:grid-cols-[minmax(0,2fr)_8rem_8rem_5rem_minmax(0,1fr)_2rem]">
                <Input class="col-span-4 md:col-span-1" list="accounts" label={name("account")} placeholder="Assets:Bank:Checking" value={line.account.clone()} on={set(|line, text| line.account = text)} />
                <Input class="num text-right tabular-nums" mode="decimal" label={name("debit")} placeholder="debit" value={line.debit.clone()} on={set(|line, text| line.debit = text)} />
                <Input class="num text-right tabular-nums" mode="decimal" label={name("credit")} placeholder="credit" value={line.credit.clone()} on={set(|line, text| line.credit = text)} />
                <Input label={name("currency")} value={line.currency.clone()} on={set(|line, text| line.currency = text.to_uppercase())} />
                <Input class="order-last col-span-4 md:order-none md:col-span-1" label={name("note")} placeholder="note" value={line.memo.clone()} on={set(|line, text| line.memo = text)} />
                <Button kind={Kind::Ghost} class="px-1.5" disabled={!props.removable} label={name("remove")} onclick={remove}><Icon name="trash" /></Button>
            </div>
            if let Some(problem) = problem {
                <p class="pt-1 text-sm text-warn-ink">{ sentence(&problem) }</p>
            }
        </li>
    }
}

fn focus_first(row: &NodeRef) {
    if let Some(row) = row.cast::<HtmlElement>()
        && let Ok(Some(input)) = row.query_selector("input")
        && let Ok(input) = input.dyn_into::<HtmlElement>()
    {
        let _ = input.focus();
    }
}

/// Whether a line names an account that cannot be used.
fn blames_an_account(error: &Failure) -> bool {
    matches!(error, Failure::Refused { error, .. } if error.fields.iter().any(|field| field.field.ends_with(".account")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(debit: &str, credit: &str, currency: &str) -> Line {
        Line {
            account: "A".into(),
            debit: debit.into(),
            credit: credit.into(),
            currency: currency.into(),
            memo: String::new(),
        }
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(amount("1,284.50"), Ok(Decimal::new(128_450, 2)));
        assert_eq!(amount(""), Ok(Decimal::ZERO));
        assert!(amount("12,50").is_err());
        assert!(amount("1284,500").is_err());
        assert!(amount("-3").is_err());
        assert!(amount("x").is_err());
    }

    #[test]
    fn what_is_missing_is_known_by_currency() {
        let lines = [line("10", "", "EUR"), line("", "4", "EUR"), line("1", "", "USD"), Line::default()];
        let sums = balance(&lines);
        assert_eq!(sums["EUR"], Decimal::from(6));
        assert_eq!(sums["USD"], Decimal::ONE);
        assert!(line("1", "1", "EUR").problem().is_some());
        assert!(line("", "", "EUR").problem().is_some());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_amount(text in any::<String>()) {
            let _ = amount(&text);
        }

        #[test]
        fn grouped_money_reads_back(cents in 0_i64..10_000_000_000) {
            let value = Decimal::new(cents, 2);
            prop_assert_eq!(amount(&format::money(value, "EUR")), Ok(value));
        }
    }
}
