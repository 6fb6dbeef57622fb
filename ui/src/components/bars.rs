//! How much there was over time, as bars: drag to narrow the time, or move over the bars with the arrows and press Enter.
//! What was not counted is shown as such, and never as nothing.

use crate::format;
use sent_contract::Micros;
use std::rc::Rc;
use web_sys::Element;
use yew::prelude::*;

/// Units of the drawing's width and height; it is stretched to the room there is.
const WIDE: f64 = 1000.0;
const HIGH: f64 = 100.0;
/// A bar that has anything is at least so high.
const LEAST: f64 = 3.0;

/// Properties of [`Bars`].
#[derive(Properties, PartialEq)]
pub struct BarsProps {
    /// Beginning and height of each bar, in order; bars of nothing are left out.
    pub bars: Rc<Vec<(Micros, u64)>>,
    /// Width of a bar.
    pub step: Micros,
    /// Left end.
    pub from: Micros,
    /// Right end.
    pub to: Micros,
    /// What is older than this was not counted.
    #[prop_or_default]
    pub reached: Option<Micros>,
    /// One of what is counted, and several.
    pub words: (&'static str, &'static str),
    /// A range was chosen; `None` asks to go back.
    pub on_zoom: Callback<Option<(Micros, Micros)>>,
}

/// Where bars stand in time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grid {
    from: Micros,
    to: Micros,
    step: Micros,
}

impl Grid {
    fn new(from: Micros, to: Micros, step: Micros) -> Self {
        Self { from, to: to.max(from + 1), step: step.max(1) }
    }

    /// Where the first bar begins: bars stand at multiples of their width.
    fn first(self) -> Micros {
        self.from.div_euclid(self.step) * self.step
    }

    fn count(self) -> usize {
        usize::try_from((self.to - 1 - self.first()) / self.step + 1).unwrap_or(1)
    }

    /// The bar of a time.
    fn slot(self, at: Micros) -> usize {
        usize::try_from((at - self.first()) / self.step).unwrap_or(0).min(self.count() - 1)
    }

    /// Both ends of the bars from `a` to `b`, within what is shown.
    fn range(self, a: usize, b: usize) -> (Micros, Micros) {
        let begin = |slot: usize| self.first() + slot as i64 * self.step;
        (begin(a.min(b)).max(self.from), begin(a.max(b) + 1).min(self.to))
    }

    /// How far to the right a time lies, in units of the drawing.
    fn x(self, at: Micros) -> f64 {
        (at - self.from) as f64 / (self.to - self.from) as f64 * WIDE
    }

    /// The time at a share of the width.
    fn at(self, share: f64) -> Micros {
        self.from + (share.clamp(0.0, 0.999_999) * (self.to - self.from) as f64) as Micros
    }
}

/// Bars that are marked: where the mark began, and where it is now.
type Mark = Option<(usize, usize)>;

/// What a key makes of the mark.
#[derive(Debug, PartialEq)]
enum Key {
    Mark(Mark),
    Zoom(Option<(Micros, Micros)>),
}

fn by_key(key: &str, shift: bool, mark: Mark, grid: Grid) -> Option<Key> {
    let last = grid.count() - 1;
    let step = |to: usize| {
        let anchor = mark.filter(|_| shift).map_or(to, |(anchor, _)| anchor);
        Some(Key::Mark(Some((anchor, to))))
    };
    let half = (grid.to - grid.from) / 2;
    match (key, mark) {
        ("ArrowLeft", mark) => step(mark.map_or(last, |(_, head)| head.saturating_sub(1))),
        ("ArrowRight", mark) => step(mark.map_or(0, |(_, head)| (head + 1).min(last))),
        ("Home", _) => step(0),
        ("End", _) => step(last),
        ("Enter", Some((anchor, head))) => Some(Key::Zoom(Some(grid.range(anchor, head)))),
        ("Escape", Some(_)) => Some(Key::Mark(None)),
        ("-", _) => Some(Key::Zoom(Some((grid.from - half, grid.to + half)))),
        ("0", _) => Some(Key::Zoom(None)),
        _ => None,
    }
}

/// The bars.
#[component]
pub fn Bars(props: &BarsProps) -> Html {
    let grid = Grid::new(props.from, props.to, props.step);
    let node = use_node_ref();
    let mark = use_state_eq(|| Mark::None);
    let drags = use_mut_ref(|| false);
    {
        // Other bars: what was marked is somewhere else.
        let mark = mark.setter();
        use_effect_with((props.from, props.to), move |_| mark.set(None));
    }
    let slot_at = {
        let node = node.clone();
        move |event: &MouseEvent| {
            let frame = node.cast::<Element>()?.get_bounding_client_rect();
            let share = (f64::from(event.client_x()) - frame.left()) / frame.width().max(1.0);
            Some(grid.slot(grid.at(share)))
        }
    };
    let onpointerdown = {
        let (mark, drags, slot_at, node) = (mark.clone(), drags.clone(), slot_at.clone(), node.clone());
        Callback::from(move |event: PointerEvent| {
            if event.button() != 0 {
                return;
            }
            if let (Some(slot), Some(element)) = (slot_at(&event), node.cast::<Element>()) {
                // The drag goes on beyond the edge; where that is refused it ends there.
                let _ = element.set_pointer_capture(event.pointer_id());
                drags.replace(true);
                mark.set(Some((slot, slot)));
            }
        })
    };
    let onpointermove = {
        let (mark, drags) = (mark.clone(), drags.clone());
        Callback::from(move |event: PointerEvent| {
            let Some(slot) = slot_at(&event) else { return };
            let anchor = mark.filter(|_| *drags.borrow()).map_or(slot, |(anchor, _)| anchor);
            mark.set(Some((anchor, slot)));
        })
    };
    let onpointerup = {
        let (mark, drags, on_zoom) = (mark.clone(), drags.clone(), props.on_zoom.clone());
        Callback::from(move |_: PointerEvent| {
            if let (true, Some((anchor, head))) = (drags.replace(false), *mark) {
                on_zoom.emit(Some(grid.range(anchor, head)));
            }
        })
    };
    let onpointerleave = {
        let (mark, drags) = (mark.clone(), drags.clone());
        Callback::from(move |_: PointerEvent| {
            if !*drags.borrow() {
                mark.set(None);
            }
        })
    };
    let ondblclick = props.on_zoom.reform(|_: MouseEvent| None);
    let onkeydown = {
        let (mark, on_zoom) = (mark.clone(), props.on_zoom.clone());
        Callback::from(move |event: KeyboardEvent| {
            if event.ctrl_key() || event.meta_key() || event.alt_key() {
                return;
            }
            match by_key(&event.key(), event.shift_key(), *mark, grid) {
                Some(Key::Mark(to)) => mark.set(to),
                Some(Key::Zoom(range)) => on_zoom.emit(range),
                None => return,
            }
            event.prevent_default();
            event.stop_propagation();
        })
    };
    let (one, many) = props.words;
    let highest = props.bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let total: u64 = props.bars.iter().map(|(_, count)| count).sum();
    let marked = mark.map(|(anchor, head)| grid.range(anchor, head));
    let said = match marked {
        Some((from, to)) => {
            let first = grid.range(grid.slot(from), grid.slot(from)).0.min(from);
            let within = props.bars.iter().filter(|(at, _)| *at + grid.step > first && *at < to);
            let count = within.map(|(_, count)| count).sum();
            format!("{} – {} · {}", moment(from, grid), moment(to, grid), format::counted(count, one, many))
        }
        None => format!("{} · a bar is {}", format::counted(total, one, many), format::long_duration(grid.step)),
    };
    let draw = |(at, count): &(Micros, u64)| {
        let (left, right) = (grid.x((*at).max(grid.from)), grid.x((*at + grid.step).min(grid.to)));
        let height = (*count as f64 / highest as f64 * HIGH).max(LEAST);
        let width = ((right - left) * 0.86).max(0.5);
        html! { <rect key={*at} x={format!("{left:.2}")} y={format!("{:.2}", HIGH - height)} width={format!("{width:.2}")} height={format!("{height:.2}")} /> }
    };
    html! {
        <div class="select-none">
            <p class="flex justify-between gap-3 text-sm text-ink-3 tabular-nums">
                <span aria-live="polite">{ said }</span>
                <span class="hidden md:inline">{ "drag, or ← → and Enter, to narrow" }</span>
            </p>
            <div role="group" tabindex="0" class="bars mt-1 rounded-sm" {onkeydown}
                aria-label={format!("{many} over time: arrows mark a bar, with Shift several, Enter narrows the time to them, minus widens it, 0 goes back")}>
                <svg ref={node} viewBox={format!("0 0 {WIDE} {HIGH}")} preserveAspectRatio="none" class="block h-20 w-full cursor-crosshair touch-pan-y border-b border-line fill-c1"
                    {onpointerdown} {onpointermove} {onpointerup} {onpointerleave} {ondblclick}>
                    <rect width={WIDE.to_string()} height={HIGH.to_string()} class="fill-transparent" />
                    if let Some(reached) = props.reached.filter(|reached| *reached > grid.from) {
                        <rect width={format!("{:.2}", grid.x(reached.min(grid.to)))} height={HIGH.to_string()} class="fill-line-2"><title>{ "Not counted: time ran out" }</title></rect>
                    }
                    { for props.bars.iter().map(draw) }
                    if let Some((from, to)) = marked {
                        <rect x={format!("{:.2}", grid.x(from))} width={format!("{:.2}", grid.x(to) - grid.x(from))} height={HIGH.to_string()} class="fill-accent/18" />
                    }
                </svg>
            </div>
            <p class="mt-1 flex justify-between text-xs text-ink-3 tabular-nums" aria-hidden="true">
                for part in 0..=4_i64 {
                    <span key={part} class={classes!((part % 2 == 1).then_some("max-md:hidden"))}>{ moment(grid.from + (grid.to - grid.from) / 4 * part, grid) }</span>
                }
            </p>
        </div>
    }
}

/// A time as exactly as the bars are.
fn moment(at: Micros, grid: Grid) -> String {
    if grid.step < 60_000_000 { format::precise(at) } else { format::clock(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Micros = 60_000_000;

    #[test]
    fn bars_stand_at_multiples_of_their_width() {
        let grid = Grid::new(90_000_000, 330_000_000, MINUTE);
        assert_eq!((grid.first(), grid.count()), (MINUTE, 5));
        assert_eq!((grid.slot(90_000_000), grid.slot(120_000_000), grid.slot(i64::MAX / 2)), (0, 1, 4));
        assert_eq!(grid.range(0, 0), (90_000_000, 120_000_000), "the first is cut off");
        assert_eq!(grid.range(4, 3), (240_000_000, 330_000_000));
        assert_eq!((grid.x(90_000_000), grid.x(330_000_000)), (0.0, WIDE));
        assert_eq!(grid.at(-1.0), 90_000_000);
    }

    #[test]
    fn keys_mark_and_narrow() {
        let grid = Grid::new(0, 10 * MINUTE, MINUTE);
        let mark = |key: &str, shift, mark| match by_key(key, shift, mark, grid) {
            Some(Key::Mark(mark)) => mark,
            other => panic!("{other:?}"),
        };
        assert_eq!(mark("ArrowLeft", false, None), Some((9, 9)));
        assert_eq!(mark("ArrowLeft", true, Some((9, 9))), Some((9, 8)));
        assert_eq!(mark("ArrowRight", false, Some((9, 8))), Some((9, 9)));
        assert_eq!(mark("Escape", false, Some((1, 1))), None);
        assert_eq!(by_key("Enter", false, Some((9, 8)), grid), Some(Key::Zoom(Some((8 * MINUTE, 10 * MINUTE)))));
        assert_eq!(by_key("Enter", false, None, grid), None);
        assert_eq!(by_key("-", false, None, grid), Some(Key::Zoom(Some((-5 * MINUTE, 15 * MINUTE)))));
        assert_eq!(by_key("0", false, None, grid), Some(Key::Zoom(None)));
    }
}
