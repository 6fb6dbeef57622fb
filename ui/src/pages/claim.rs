//! Claiming a box: choose where it will stand, get a code, type it on the box. The code is shown once.

use crate::{
    api::{self, Failure, List},
    components::{Button, Dialog, Empty, Field, Icon, Input, Kind, Pick, Until, use_toast},
    data::use_resource,
};
use sent_contract::fleet::{Claim, NewClaim, Organization};
use yew::prelude::*;

/// Properties of [`ClaimDialog`].
#[derive(Properties, PartialEq)]
pub struct ClaimProps {
    /// Closed.
    pub on_close: Callback<()>,
    /// Customer to begin with.
    #[prop_or_default]
    pub organization: Option<AttrValue>,
}

/// The dialog.
#[component]
pub fn ClaimDialog(props: &ClaimProps) -> Html {
    let organizations = use_resource::<List<Organization>>(Some("/api/fleet/organizations".into()), &[]);
    let organization = use_state(|| props.organization.clone().map(|id| id.to_string()).unwrap_or_default());
    let branch = use_state(String::new);
    let name = use_state(String::new);
    let hours = use_state(|| "24".to_owned());
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let claim = use_state(|| None::<Claim>);

    let known = organizations.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let chosen = known.iter().find(|row| row.id.to_string() == *organization).or(known.first()).cloned();
    let branches = chosen.as_ref().map(|row| row.branches.clone()).unwrap_or_default();
    let place = branches.iter().find(|row| row.id.to_string() == *branch).or(branches.first()).cloned();

    let set = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let submit = {
        let (name, hours, busy, error, claim) =
            (name.clone(), hours.clone(), busy.clone(), error.clone(), claim.clone());
        let (chosen, place) = (chosen.clone(), place.clone());
        Callback::from(move |()| {
            let (Some(organization), Some(branch)) = (&chosen, &place) else { return };
            let new = NewClaim {
                organization: organization.id,
                branch: branch.id,
                name: if name.trim().is_empty() { branch.name.clone() } else { name.trim().to_owned() },
                hours: hours.trim().parse().ok(),
            };
            let (busy, error, claim) = (busy.clone(), error.clone(), claim.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<Claim>("/api/fleet/claims", &new).await {
                    Ok(made) => claim.set(Some(made)),
                    Err(failure) => error.set(Some(failure)),
                }
                busy.set(false);
            });
        })
    };
    if let Some(claim) = &*claim {
        return html! { <Shown claim={claim.clone()} on_close={props.on_close.clone()} /> };
    }
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy} disabled={place.is_none()}>{ "Make a code" }</Button>
        </>
    };
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    html! {
        <Dialog title="Claim a box" on_close={props.on_close.clone()} on_submit={submit} {footer}>
            if organizations.data.is_some() && known.is_empty() {
                <Empty title="No customer yet" text="A box belongs to a branch of a customer: make the customer first." />
            } else {
                <div class="grid gap-3 md:grid-cols-2">
                    <Field label="Customer" error={failure("organization")}>
                        <Pick name="organization" value={chosen.as_ref().map(|row| row.id.to_string()).unwrap_or_default()} on={set(&organization)}
                            options={known.iter().map(|row| (row.id.to_string().into(), row.name.clone().into())).collect::<Vec<_>>()} />
                    </Field>
                    <Field label="Branch" error={failure("branch")} hint={branches.is_empty().then_some("This customer has no branch yet").map(AttrValue::from)}>
                        <Pick name="branch" value={place.as_ref().map(|row| row.id.to_string()).unwrap_or_default()} on={set(&branch)}
                            options={branches.iter().map(|row| (row.id.to_string().into(), row.name.clone().into())).collect::<Vec<_>>()} />
                    </Field>
                    <Field label="Name of the box" error={failure("name")} hint="As the branch, if left empty">
                        <Input name="name" value={(*name).clone()} on={set(&name)} placeholder={place.map(|row| row.name).unwrap_or_default()} />
                    </Field>
                    <Field label="Valid for, hours" error={failure("hours")}>
                        <Input name="hours" kind="number" value={(*hours).clone()} on={set(&hours)} />
                    </Field>
                </div>
                if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                    <p role="alert" class="mt-3 text-sm text-bad-ink">{ error.to_string() }</p>
                }
            }
        </Dialog>
    }
}

#[derive(Properties, PartialEq)]
struct ShownProps {
    claim: Claim,
    on_close: Callback<()>,
}

#[component]
fn Shown(props: &ShownProps) -> Html {
    let claim = &props.claim;
    let footer =
        html! { <Button kind={Kind::Primary} onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Done" }</Button> };
    html! {
        <Dialog title="Type this on the box" on_close={props.on_close.clone()} {footer}>
            <div class="flex flex-col gap-3">
                <p class="text-ink-2">{ "On the box, or on its first page, give it the code and the address. The code works once and is not shown again." }</p>
                <Copyable label="Claim code" text={claim.code.clone()} />
                <Copyable label="Address" text={claim.wire_url.clone()} />
                <p class="text-sm text-ink-3">{ "Ends " }<Until at={claim.expires_at} /></p>
            </div>
        </Dialog>
    }
}

/// Properties of [`Copyable`].
#[derive(Properties, PartialEq)]
pub struct CopyableProps {
    /// What it is.
    pub label: AttrValue,
    /// The text.
    pub text: AttrValue,
}

/// A text that is to be typed or pasted somewhere else.
#[component]
pub fn Copyable(props: &CopyableProps) -> Html {
    let toast = use_toast();
    let copy = {
        let (text, label) = (props.text.clone(), props.label.clone());
        Callback::from(move |_: MouseEvent| {
            let (toast, text, label) = (toast.clone(), text.clone(), label.clone());
            wasm_bindgen_futures::spawn_local(async move {
                let copied = match web_sys::window().map(|window| window.navigator().clipboard()) {
                    // Outside HTTPS and loopback a browser has no clipboard; the text can still be selected.
                    Some(clipboard) if !clipboard.is_undefined() => {
                        wasm_bindgen_futures::JsFuture::from(clipboard.write_text(&text)).await.is_ok()
                    }
                    _ => false,
                };
                if copied {
                    toast.ok(format!("{label} copied"));
                } else {
                    toast.ok("Select the text and copy it by hand: the browser keeps its clipboard closed here");
                }
            });
        })
    };
    html! {
        <div class="flex flex-col gap-1">
            <span class="text-sm font-medium text-ink-2">{ &props.label }</span>
            <div class="flex items-center gap-2 rounded-md border border-line bg-bg py-1 pr-1 pl-3">
                <code class="min-w-0 flex-1 font-mono break-all select-all">{ &props.text }</code>
                <Button kind={Kind::Ghost} class="px-2" label={format!("Copy {}", props.label)} onclick={copy}><Icon name="copy" /></Button>
            </div>
        </div>
    }
}
