//! What a role may do, chosen from the rights there are: everything, all of a group, or one by one. What the list does not
//! know (of a newer box, or a narrower pattern) stays and stands below it.
//!
//! Tab reaches the list once, the arrows go through it.

use sent_contract::rights::{EVERYTHING, Group, covers};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

/// Properties of [`Rights`].
#[derive(Properties, PartialEq)]
pub struct RightsProps {
    /// The rights there are.
    pub groups: &'static [Group],
    /// Rights and patterns that are chosen.
    pub chosen: Vec<String>,
    /// They change.
    pub on: Callback<Vec<String>>,
    /// Whether the person may give this right or pattern away.
    pub may_give: Callback<String, bool>,
    /// Why they were refused.
    #[prop_or_default]
    pub error: Option<String>,
}

/// The list.
#[component]
pub fn Rights(props: &RightsProps) -> Html {
    let boxed = |right: &str, words: &str, strong: bool| {
        let chosen = props.chosen.iter().any(|known| known == right);
        let covered = props.chosen.iter().any(|known| known != right && covers(known, right));
        let refused = !chosen && !props.may_give.emit(right.to_owned());
        let onchange = {
            let (on, rights, right) = (props.on.clone(), props.chosen.clone(), right.to_owned());
            Callback::from(move |_: Event| on.emit(toggled(&rights, &right)))
        };
        html! {
            <label key={right.to_owned()} class={classes!("flex", "items-start", "gap-2", "rounded-sm", "px-1.5", "py-1",
                if covered || refused { "text-ink-3" } else { "cursor-pointer hover:bg-line-2" })}
                title={refused.then_some("You do not have this right yourself")}>
                <input type="checkbox" class="mt-[3px] shrink-0" value={right.to_owned()} tabindex={if right == EVERYTHING { "0" } else { "-1" }}
                    checked={chosen || covered} disabled={covered || refused} {onchange} />
                <span class="min-w-0">
                    <span class={classes!(strong.then_some("font-medium"))}>{ words.to_owned() }</span>
                    <code class="block font-mono text-xs break-words text-ink-3">{ right.to_owned() }</code>
                </span>
            </label>
        }
    };
    let known = |right: &str| {
        let mut groups = props.groups.iter();
        right == EVERYTHING
            || groups.any(|group| group.pattern == Some(right) || group.rights.iter().any(|(name, _)| *name == right))
    };
    let others: Vec<&String> = props.chosen.iter().filter(|right| !known(right)).collect();
    html! {
        <fieldset class="min-w-0" onkeydown={Callback::from(step)}>
            <legend class="mb-1 text-sm font-medium text-ink-2">{ "Rights" }</legend>
            <div class="max-h-[22rem] overflow-auto rounded-md border border-line p-1.5">
                { boxed(EVERYTHING, "Everything, also what is added later", true) }
                for group in props.groups.iter() {
                    <div role="group" aria-label={group.name} class="mt-1.5 border-t border-line-2 pt-1.5">
                        if let Some(pattern) = group.pattern {
                            { boxed(pattern, &format!("{}: all of it", group.name), true) }
                        } else {
                            <div class="px-1.5 py-1 font-medium">{ group.name }</div>
                        }
                        <div class="grid pl-5 md:grid-cols-2">{ for group.rights.iter().map(|(right, words)| boxed(right, words, false)) }</div>
                    </div>
                }
                if !others.is_empty() {
                    <div role="group" aria-label="Others" class="mt-1.5 border-t border-line-2 pt-1.5">
                        <div class="px-1.5 py-1 font-medium">{ "Others" }</div>
                        <div class="pl-5">{ for others.into_iter().map(|right| boxed(right, "", false)) }</div>
                    </div>
                }
            </div>
            if let Some(error) = &props.error {
                <p role="alert" class="mt-1 text-sm text-bad-ink">{ crate::components::status::sentence(error) }</p>
            } else {
                <p class="mt-1 text-sm text-ink-3">{ "Arrows go through the list, Space chooses." }</p>
            }
        </fieldset>
    }
}

/// The arrows go to the next box that can be changed, or the one before.
fn step(event: KeyboardEvent) {
    let down = match event.key().as_str() {
        "ArrowDown" => true,
        "ArrowUp" => false,
        _ => return,
    };
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let Some(list) = target.and_then(|target| target.closest("fieldset").ok().flatten()) else { return };
    let Ok(found) = list.query_selector_all("input:not([disabled])") else { return };
    let inputs: Vec<HtmlElement> = (0..found.length()).filter_map(|index| found.item(index)?.dyn_into().ok()).collect();
    let here = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok());
    let Some(at) = inputs.iter().position(|input| Some(input) == here.as_ref()) else { return };
    event.prevent_default();
    let next = if down { Some(at + 1) } else { at.checked_sub(1) };
    if let Some(input) = next.and_then(|at| inputs.get(at)) {
        // It can fail only for an element that is gone.
        let _ = input.focus();
    }
}

/// With the right added or taken away.
fn toggled(rights: &[String], right: &str) -> Vec<String> {
    let mut next: Vec<String> = rights.iter().filter(|known| *known != right).cloned().collect();
    if next.len() == rights.len() {
        next.push(right.to_owned());
    }
    next
}

/// The same without what others of them cover.
pub fn fewest(rights: &[String]) -> Vec<String> {
    let covered = |right: &str| rights.iter().any(|known| known != right && covers(known, right));
    rights.iter().filter(|right| !covered(right)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_right_comes_and_goes() {
        let one = toggled(&[], "user.read");
        assert_eq!(one, ["user.read"]);
        assert_eq!(toggled(&one, "capital.*"), ["user.read", "capital.*"]);
        assert!(toggled(&one, "user.read").is_empty());
    }

    #[test]
    fn what_a_pattern_covers_need_not_be_said() {
        assert_eq!(fewest(&rights(&["capital.entry.post", "capital.*", "audit.read"])), ["capital.*", "audit.read"]);
        assert_eq!(fewest(&rights(&["fleet.box.*", "*", "user.read"])), ["*"]);
        assert_eq!(fewest(&rights(&["user.read", "user.write"])), ["user.read", "user.write"]);
    }
}
