//! Short news at the page's corner: what was done, what was not. Read out by screen readers, gone by itself.

use super::{Button, Dot, Icon, Kind, Tone};
use crate::api::Failure;
use gloo_timers::callback::Timeout;
use std::rc::Rc;
use yew::prelude::*;

/// Milliseconds that good news stays; bad news stays until it is closed, or three times as long.
const STAY: u32 = 4_000;

#[derive(Clone, PartialEq)]
struct Toast {
    id: u32,
    tone: Tone,
    text: AttrValue,
}

#[derive(Default, PartialEq)]
struct Shelf {
    toasts: Vec<Toast>,
    next: u32,
}

enum Change {
    Add(Tone, AttrValue),
    Remove(u32),
}

impl Reducible for Shelf {
    type Action = Change;

    fn reduce(self: Rc<Self>, change: Change) -> Rc<Self> {
        let mut toasts = self.toasts.clone();
        match change {
            Change::Add(tone, text) => {
                toasts.push(Toast { id: self.next, tone, text });
                if toasts.len() > 4 {
                    toasts.remove(0);
                }
                Rc::new(Shelf { toasts, next: self.next + 1 })
            }
            Change::Remove(id) => {
                toasts.retain(|toast| toast.id != id);
                Rc::new(Shelf { toasts, next: self.next })
            }
        }
    }
}

/// Says things at the page's corner.
#[derive(Clone, PartialEq)]
pub struct Toaster(UseReducerDispatcher<Shelf>);

impl Toaster {
    /// It was done.
    pub fn ok(&self, text: impl Into<AttrValue>) {
        self.0.dispatch(Change::Add(Tone::Ok, text.into()));
    }

    /// It was not done.
    pub fn bad(&self, failure: &Failure) {
        let text = super::status::sentence(&failure.to_string());
        self.0.dispatch(Change::Add(Tone::Bad, text.into()));
    }

    /// Says how something went.
    pub fn tell<T>(&self, result: &Result<T, Failure>, done: impl Into<AttrValue>) {
        match result {
            Ok(_) => self.ok(done),
            Err(failure) => self.bad(failure),
        }
    }
}

/// The toaster. Only components below [`ToastProvider`] call it.
#[hook]
pub fn use_toast() -> Toaster {
    use_context().expect("every page stands below the toast provider")
}

/// Properties of [`ToastProvider`].
#[derive(Properties, PartialEq)]
pub struct ToastProviderProps {
    /// Everything that may say something.
    pub children: Html,
}

/// Holds the toasts and draws them.
#[component]
pub fn ToastProvider(props: &ToastProviderProps) -> Html {
    let shelf = use_reducer(Shelf::default);
    let toaster = Toaster(shelf.dispatcher());
    html! {
        <ContextProvider<Toaster> context={toaster}>
            { props.children.clone() }
            <div class="pointer-events-none fixed right-4 bottom-20 z-50 flex w-[min(24rem,calc(100vw-2rem))] flex-col gap-2 md:bottom-4" role="log" aria-live="polite">
                for toast in shelf.toasts.iter() {
                    <Line key={toast.id} toast={toast.clone()} remove={
                        let dispatcher = shelf.dispatcher();
                        Callback::from(move |id| dispatcher.dispatch(Change::Remove(id)))
                    } />
                }
            </div>
        </ContextProvider<Toaster>>
    }
}

#[derive(Properties, PartialEq)]
struct LineProps {
    toast: Toast,
    remove: Callback<u32>,
}

#[component]
fn Line(props: &LineProps) -> Html {
    {
        let remove = props.remove.clone();
        use_effect_with((props.toast.id, props.toast.tone), move |(id, tone)| {
            let id = *id;
            let timer = Timeout::new(if *tone == Tone::Bad { 3 * STAY } else { STAY }, move || remove.emit(id));
            move || drop(timer)
        });
    }
    let id = props.toast.id;
    let close = props.remove.reform(move |_: MouseEvent| id);
    html! {
        <div class="pointer-events-auto flex items-center gap-2.5 rounded-lg border border-line bg-raised py-1.5 pr-1.5 pl-3.5 shadow-lg">
            <Dot tone={props.toast.tone} />
            <span class="min-w-0 flex-1">{ &props.toast.text }</span>
            <Button kind={Kind::Ghost} class="px-1.5" label="Close" onclick={close}><Icon name="close" /></Button>
        </div>
    }
}
