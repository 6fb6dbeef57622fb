//! The chart of accounts. The cloud owns it: a new account made here is a proposal until the cloud confirms it.

use crate::{
    api::{self, Done, Failure, List},
    components::{
        Button, Column, DataTable, Dialog, Empty, Field, Input, Kind, Pick, Row, Search, Slot, Tag, Tone, Toolbar,
        loaded, use_toast,
    },
    data::{use_query, use_resource},
    format,
    route::Route,
};
use sent_contract::capital::{Account, NewAccount};
use std::rc::Rc;
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for Account {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<Account>> {
    vec![
        Column::new("No.", |account: &Account| account.code.clone().unwrap_or_default())
            .class("font-mono text-sm text-ink-3 w-20")
            .at(Slot::Meta),
        Column::new("Account", |account: &Account| account.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Kind", |account: &Account| account.kind.clone()).at(Slot::Detail),
        Column::new("Currency", |account: &Account| account.currency.clone().unwrap_or_else(|| "any".into()))
            .at(Slot::Value),
        Column::new("Valid", |account: &Account| {
            let day = |date: &Option<String>| date.as_deref().map(format::plain_date);
            match (day(&account.valid_from), day(&account.valid_to)) {
                (None, None) => "always".to_owned(),
                (Some(from), None) => format!("from {from}"),
                (None, Some(to)) => format!("until {to}"),
                (Some(from), Some(to)) => format!("{from} – {to}"),
            }
        })
        .class("text-ink-2"),
        Column::new("State", |account: &Account| {
            if account.pending { "waiting for the cloud" } else { "confirmed" }.into()
        })
        .cell(|account| {
            if account.pending {
                html! { <Tag tone={Tone::Warn}>{ "Waiting for the cloud" }</Tag> }
            } else {
                html! { <Tag>{ "Confirmed" }</Tag> }
            }
        }),
    ]
}

/// The chart.
#[component]
pub fn Accounts() -> Html {
    let navigator = use_navigator();
    let (query, set) = use_query();
    let accounts = use_resource::<List<Account>>(Some("/api/capital/accounts".into()), &["table:accounts"]);
    let columns = use_memo((), |()| columns());
    let creating = use_state_eq(|| false);
    let wanted = query.get("q").to_lowercase();
    let rows = use_memo((accounts.data.as_ref().map(|list| Rc::as_ptr(list) as usize), wanted.clone()), |_| {
        let mut rows: Vec<Account> = accounts.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
        rows.retain(|row| {
            row.name.to_lowercase().contains(&wanted)
                || row.code.as_deref().is_some_and(|code| code.starts_with(&wanted))
        });
        rows
    });
    let on_open = use_callback((), move |account: Account, ()| {
        if let Some(navigator) = &navigator {
            // A pair of texts always serialises.
            let _ = navigator.push_with_query(&Route::Journal, &[("account", account.name)]);
        }
    });
    let show = |value: bool| {
        let creating = creating.clone();
        Callback::from(move |()| creating.set(value))
    };
    let actions = html! {
        <span data-create="true" onclick={show(true).reform(|_: MouseEvent| ())}><Button kind={Kind::Primary} class="p">{ "New account" }<kbd class="kbd ml-1 hidden md:inline">{ "C" }</kbd></Button></span>
    };
    let empty = if wanted.is_empty() {
        html! { <Empty title="No accounts yet" text="Entries are posted to accounts: make the first, or let an import make them." /> }
    } else {
        html! { <Empty title="No account of that name" /> }
    };
    html! {
        <>
            <Toolbar {actions}>
                <Search value={query.get("q").to_owned()} placeholder="Name or number" on={Callback::from(move |text| set.emit(vec![("q", text)]))} />
            </Toolbar>
            { loaded(&accounts, 12, |_| html! { <DataTable<Account> {rows} {columns} name="Accounts" {on_open} {empty} /> }) }
            if *creating {
                <Create on_close={show(false)} on_done={accounts.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct CreateProps {
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Create(props: &CreateProps) -> Html {
    let toast = use_toast();
    let new =
        use_state(|| NewAccount { name: String::new(), code: None, kind: None, currency: None, valid_from: None });
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let edit = |change: fn(&mut NewAccount, String)| {
        let new = new.clone();
        Callback::from(move |text: String| {
            let mut next = (*new).clone();
            change(&mut next, text.trim_start().to_owned());
            new.set(next);
        })
    };
    let submit = {
        let (new, busy, error) = (new.clone(), busy.clone(), error.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let (body, busy, error, toast) = ((*new).clone(), busy.clone(), error.clone(), toast.clone());
            let (on_close, on_done) = (on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<Done>("/api/capital/accounts", &body).await {
                    Ok(_) => {
                        toast.ok(format!("{} made", body.name));
                        on_done.emit(());
                        on_close.emit(());
                    }
                    Err(failure) => {
                        error.set(Some(failure));
                        busy.set(false);
                    }
                }
            });
        })
    };
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy} disabled={new.name.is_empty()}>{ "Make account" }</Button>
        </>
    };
    html! {
        <Dialog title="New account" on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" class="md:col-span-2" hint="All levels, with colons: Assets:Bank:Checking" error={failure("name")}>
                    <Input name="name" value={new.name.clone()} on={edit(|new, text| new.name = text)} autofocus=true invalid={failure("name").is_some()} />
                </Field>
                <Field label="Number" error={failure("code")}><Input name="code" value={text(&new.code)} on={edit(|new, text| new.code = non_empty(text))} /></Field>
                <Field label="Kind" error={failure("kind")}>
                    <Pick name="kind" value={text(&new.kind)} on={edit(|new, text| new.kind = non_empty(text))}
                        options={[("", "From its name"), ("asset", "Asset"), ("liability", "Liability"), ("equity", "Equity"), ("income", "Income"), ("expense", "Expense")].map(|(value, label)| (value.into(), label.into())).to_vec()} />
                </Field>
                <Field label="Only this currency" hint="Empty: any" error={failure("currency")}><Input name="currency" value={text(&new.currency)} on={edit(|new, text| new.currency = non_empty(text.to_uppercase()))} /></Field>
                <Field label="Valid from" error={failure("valid_from")}><Input name="valid_from" kind="date" value={text(&new.valid_from)} on={edit(|new, text| new.valid_from = non_empty(text))} /></Field>
            </div>
            if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                <p role="alert" class="mt-3 text-sm text-bad-ink">{ error.to_string() }</p>
            }
        </Dialog>
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
