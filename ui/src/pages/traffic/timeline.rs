//! Bytes over time: a column for each spell of time, in it a part for each of the first applications. A stretch that is
//! marked becomes the page's time.

use crate::{
    components::chart::by_key,
    format,
    pages::guard::{app, colour},
};
use sent_contract::{Micros, guard::Traffic};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;

/// Height of the drawing, in its own units and in pixels.
const HEIGHT: f64 = 84.0;

/// Properties of [`Timeline`].
#[derive(Properties, PartialEq)]
pub struct TimelineProps {
    /// What is drawn.
    pub traffic: Rc<Traffic>,
    /// Applications that have a colour.
    pub apps: Vec<String>,
    /// Left end.
    pub from: Micros,
    /// Right end.
    pub to: Micros,
    /// A range was marked; `None` asks to go back.
    pub zoom: Callback<Option<(Micros, Micros)>>,
}

/// Bytes of a column by place of the application; the last is all the rest.
type Parts = [u64; 5];

/// Columns by their beginnings.
fn columns(traffic: &Traffic, apps: &[String]) -> BTreeMap<Micros, Parts> {
    let mut columns = BTreeMap::<Micros, Parts>::new();
    for spell in &traffic.columns {
        let rest = Parts::default().len() - 1;
        let place = apps.iter().position(|app| spell.app.as_ref() == Some(app)).unwrap_or(rest).min(rest);
        columns.entry(spell.at).or_default()[place] += spell.bytes;
    }
    columns
}

/// The drawing.
#[component]
pub fn Timeline(props: &TimelineProps) -> Html {
    // Where the mouse was pressed, and where it is.
    let marked = use_state_eq(|| None::<(Micros, Micros)>);
    let traffic = &props.traffic;
    let columns = use_memo((Rc::as_ptr(traffic) as usize, props.apps.clone()), |_| columns(traffic, &props.apps));
    let step = traffic.step;
    if step <= 0 || props.to <= props.from {
        return Html::default();
    }
    let most = columns.values().map(|parts| parts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let first = props.from.div_euclid(step) * step;
    let count = (props.to - first + step - 1) / step;
    let place = |at: Micros| (at - first) as f64 / step as f64;
    let drawn = columns.range(first..props.to).map(|(at, parts)| {
        let mut floor = HEIGHT;
        let pieces = parts.iter().enumerate().filter(|(_, bytes)| **bytes > 0).map(|(place_of, bytes)| {
            let height = *bytes as f64 / most as f64 * (HEIGHT - 2.0);
            floor -= height;
            html! { <rect class={colour(place_of)} x={format!("{:.2}", place(*at) + 0.08)} y={format!("{floor:.2}")} width="0.84" height={format!("{:.2}", height.max(0.6))} /> }
        });
        html! { <g key={at.to_string()}>{ for pieces }</g> }
    });
    // Over each column, as high as the drawing: what the mouse meets.
    let slots = (0..count).map(|slot| {
        let at = first + slot * step;
        let press = {
            let marked = marked.setter();
            Callback::from(move |event: MouseEvent| {
                event.prevent_default();
                marked.set(Some((at, at)));
            })
        };
        let pass = {
            let marked = marked.clone();
            Callback::from(move |event: MouseEvent| match *marked {
                Some((begin, _)) if event.buttons() & 1 == 1 => marked.set(Some((begin, at))),
                Some(_) => marked.set(None),
                None => {}
            })
        };
        html! {
            <rect key={at.to_string()} class="fill-transparent hover:fill-ink-3/15" x={slot.to_string()} y="0" width="1" height={HEIGHT.to_string()} onmousedown={press} onmouseenter={pass}>
                <title>{ told(at, step, columns.get(&at), &props.apps) }</title>
            </rect>
        }
    });
    let release = {
        let (marked, zoom) = (marked.clone(), props.zoom.clone());
        Callback::from(move |_: MouseEvent| {
            if let Some((one, other)) = *marked {
                marked.set(None);
                if one != other {
                    zoom.emit(Some((one.min(other), one.max(other) + step)));
                }
            }
        })
    };
    let onkeydown = {
        let (from, to, zoom) = (props.from, props.to, props.zoom.clone());
        Callback::from(move |event: KeyboardEvent| {
            if let Some(range) = by_key(&event.key(), from, to)
                && !(event.ctrl_key() || event.meta_key() || event.alt_key())
            {
                event.prevent_default();
                event.stop_propagation();
                zoom.emit(range);
            }
        })
    };
    html! {
        <div>
            <svg class="timeline block w-full" viewBox={format!("0 0 {count} {HEIGHT}")} height={HEIGHT.to_string()} preserveAspectRatio="none" tabindex="0" role="group"
                aria-label="Traffic over time: arrows move, plus and minus zoom, 0 goes back" {onkeydown} onmouseup={release}>
                if let Some((one, other)) = *marked {
                    <rect class="fill-accent-soft" x={place(one.min(other)).to_string()} y="0" width={(place(one.max(other)) - place(one.min(other)) + 1.0).to_string()} height={HEIGHT.to_string()} />
                }
                { for drawn }
                { for slots }
            </svg>
            <p class="mt-1 flex justify-between gap-3 border-t border-line pt-1 text-sm tabular-nums text-ink-3">
                <span>{ format::clock(props.from) }</span>
                <span>{ format!("at most {} in {}", format::bytes(most as f64), format::duration(step)) }</span>
                <span>{ format::clock(props.to) }</span>
            </p>
        </div>
    }
}

/// What a column holds, a line for each part.
fn told(at: Micros, step: i64, parts: Option<&Parts>, apps: &[String]) -> String {
    let mut lines = vec![format!("{}, {}", format::absolute(at), format::duration(step))];
    let held = parts.map(|parts| parts.iter().enumerate()).into_iter().flatten().filter(|(_, bytes)| **bytes > 0);
    lines.extend(held.map(|(place, bytes)| {
        let name = apps.get(place).map_or_else(|| "Other".to_owned(), |name| app(Some(name)));
        format!("{name}: {}", format::bytes(*bytes as f64))
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sent_contract::guard::Spell;

    #[test]
    fn parts_stand_in_the_order_of_their_colours() {
        let spell = |at, app: Option<&str>, bytes| Spell { at, app: app.map(Into::into), bytes };
        let traffic = Traffic {
            step: 10,
            columns: vec![
                spell(0, Some("dns"), 1),
                spell(0, None, 7),
                spell(0, Some("odd"), 2),
                spell(20, Some("tls"), 5),
            ],
            ..Traffic::default()
        };
        let columns = columns(&traffic, &["tls".to_owned(), "dns".to_owned()]);
        assert_eq!(columns[&0], [0, 1, 0, 0, 9]);
        assert_eq!(columns[&20], [5, 0, 0, 0, 0]);
        assert_eq!(columns.len(), 2);
    }
}
