//! Curves over time, drawn by uPlot on a canvas: drag to zoom, double click to go back, one cursor for all charts of a
//! page, gaps as gaps, thresholds as dashed lines. Four series at most; more is a table. A time without points is drawn all the
//! same, so that one can go on from there.

use crate::format;
use js_sys::{Array, Float64Array};
use sent_contract::{Micros, pulse::Curve};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;
use yew::prelude::*;

/// Series that one chart can hold.
pub const MOST: usize = 4;

#[wasm_bindgen(module = "/js/chart.js")]
extern "C" {
    #[wasm_bindgen(js_name = Chart)]
    type Plot;

    #[wasm_bindgen(constructor, js_class = "Chart")]
    fn new(
        host: &HtmlElement,
        height: u32,
        labels: &Array,
        format: &Closure<dyn Fn(f64) -> String>,
        when: &Closure<dyn Fn(f64) -> String>,
        zoomed: &Closure<dyn Fn(f64, f64)>,
        shared: &str,
    ) -> Plot;

    #[wasm_bindgen(method)]
    fn show(this: &Plot, times: &Array, values: &Array, lines: &Array, from: f64, to: f64);

    #[wasm_bindgen(method)]
    fn free(this: &Plot);
}

/// Properties of [`Chart`].
#[derive(Properties, PartialEq)]
pub struct ChartProps {
    /// What is drawn.
    pub curves: Rc<Vec<Curve>>,
    /// A label for each.
    pub labels: Vec<String>,
    /// Unit of all.
    pub unit: AttrValue,
    /// Width of a bucket in µs. A hole wider than two and a half of them, and of what is usual for the series, is a gap.
    pub step: i64,
    /// Left end.
    pub from: Micros,
    /// Right end.
    pub to: Micros,
    /// Dashed lines: value, and `warn` or `bad`.
    #[prop_or_default]
    pub thresholds: Vec<(f64, AttrValue)>,
    /// A range was dragged; `None` asks to go back.
    #[prop_or_default]
    pub on_zoom: Callback<Option<(Micros, Micros)>>,
    /// Height in pixels.
    #[prop_or(200)]
    pub height: u32,
}

struct Held {
    plot: Plot,
    // Called by the plot for as long as it lives.
    _format: Closure<dyn Fn(f64) -> String>,
    _when: Closure<dyn Fn(f64) -> String>,
    _zoomed: Closure<dyn Fn(f64, f64)>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.plot.free();
    }
}

/// A chart.
#[component]
pub fn Chart(props: &ChartProps) -> Html {
    let node = use_node_ref();
    let held = use_mut_ref(|| None::<Held>);
    let on_zoom = use_mut_ref(|| props.on_zoom.clone());
    *on_zoom.borrow_mut() = props.on_zoom.clone();
    {
        let (node, held) = (node.clone(), held.clone());
        use_effect_with((props.labels.clone(), props.unit.clone(), props.height), move |(labels, unit, height)| {
            if let Some(host) = node.cast::<HtmlElement>() {
                let unit = unit.clone();
                let format = Closure::<dyn Fn(f64) -> String>::new(move |value| format::measure(value, &unit));
                let when = Closure::<dyn Fn(f64) -> String>::new(|at: f64| {
                    if at.is_nan() { format::zone(format::now()) } else { format::absolute((at * 1e6) as Micros) }
                });
                let zoomed = Closure::<dyn Fn(f64, f64)>::new(move |from: f64, to: f64| {
                    let range = (from < to).then_some(((from * 1e6) as Micros, (to * 1e6) as Micros));
                    let tell = on_zoom.borrow().clone();
                    tell.emit(range);
                });
                let labels: Array = labels.iter().map(JsValue::from).collect();
                let plot = Plot::new(&host, *height, &labels, &format, &when, &zoomed, "page");
                *held.borrow_mut() = Some(Held { plot, _format: format, _when: when, _zoomed: zoomed });
            }
            let held = held.clone();
            move || drop(held.borrow_mut().take())
        });
    }
    {
        let data = (props.curves.clone(), props.thresholds.clone(), props.from, props.to, props.step);
        use_effect_with(
            (data, props.labels.clone(), props.unit.clone()),
            move |((curves, thresholds, from, to, step), ..)| {
                if let Some(held) = &*held.borrow() {
                    let (times, values) = (Array::new(), Array::new());
                    for curve in curves.iter() {
                        let (at, value) = with_gaps(&curve.at, &curve.avg, *step);
                        times.push(&Float64Array::from(at.as_slice()));
                        values.push(&Float64Array::from(value.as_slice()));
                    }
                    let lines = thresholds
                        .iter()
                        .map(|(value, level)| Array::of2(&(*value).into(), &level.as_str().into()))
                        .collect();
                    held.plot.show(&times, &values, &lines, *from as f64 / 1e6, *to as f64 / 1e6);
                }
            },
        );
    }
    let onkeydown = {
        let (from, to, on_zoom) = (props.from, props.to, props.on_zoom.clone());
        Callback::from(move |event: KeyboardEvent| {
            if let Some(range) = by_key(&event.key(), from, to)
                && !(event.ctrl_key() || event.meta_key() || event.alt_key())
            {
                event.prevent_default();
                event.stop_propagation();
                on_zoom.emit(range);
            }
        })
    };
    let label = format!("{}: arrows move, plus and minus zoom, 0 goes back", props.labels.join(", "));
    // Before the first answer there is no curve at all.
    let empty = !props.curves.is_empty() && props.curves.iter().all(|curve| curve.at.is_empty());
    html! {
        <div class="relative">
            <div ref={node} class="chart" role="group" tabindex="0" aria-label={label} {onkeydown} />
            if empty {
                <p class="pointer-events-none absolute inset-x-0 top-14 text-center text-ink-3" role="status">{ "No points in this time" }</p>
            }
        </div>
    }
}

/// What a key makes of the range: a quarter to the side, twice as near or as far, back to what rolls.
pub fn by_key(key: &str, from: Micros, to: Micros) -> Option<Option<(Micros, Micros)>> {
    let quarter = (to - from) / 4;
    match key {
        "ArrowLeft" => Some(Some((from - quarter, to - quarter))),
        "ArrowRight" => Some(Some((from + quarter, to + quarter))),
        "+" | "=" if quarter > 1_000_000 => Some(Some((from + quarter, to - quarter))),
        "-" => Some(Some((from - 2 * quarter, to + 2 * quarter))),
        "0" => Some(None),
        _ => None,
    }
}

/// Seconds and values, with NaN wherever the curve must break: where the server says so, and in the middle of every hole.
fn with_gaps(at: &[Micros], values: &[Option<f64>], step: i64) -> (Vec<f64>, Vec<f64>) {
    let mut times = Vec::with_capacity(at.len());
    let mut plain = Vec::with_capacity(at.len());
    let usual = usual_step(at).max(step);
    let mut before = None;
    for (&at, value) in at.iter().zip(values) {
        if let Some(before) = before
            && usual > 0
            && at - before > usual.saturating_mul(5) / 2
        {
            times.push(((before + at) / 2) as f64 / 1e6);
            plain.push(f64::NAN);
        }
        times.push(at as f64 / 1e6);
        plain.push(value.unwrap_or(f64::NAN));
        before = Some(at);
    }
    (times, plain)
}

/// The median distance of neighbours: a series that is measured every five minutes has no gap after each point, however
/// fine the range is drawn.
fn usual_step(at: &[Micros]) -> i64 {
    let mut steps: Vec<i64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = steps.len() / 2;
    if steps.is_empty() { 0 } else { *steps.select_nth_unstable(middle).1 }
}

#[cfg(test)]
mod tests {
    use super::{by_key, with_gaps};

    #[test]
    fn keys_move_and_zoom() {
        let (from, to) = (0, 400_000_000);
        assert_eq!(by_key("ArrowLeft", from, to), Some(Some((-100_000_000, 300_000_000))));
        assert_eq!(by_key("+", from, to), Some(Some((100_000_000, 300_000_000))));
        assert_eq!(by_key("-", 100_000_000, 300_000_000), Some(Some((0, 400_000_000))));
        assert_eq!(by_key("+", 0, 3), None, "no nearer than seconds");
        assert_eq!((by_key("0", from, to), by_key("j", from, to)), (Some(None), None));
    }

    #[test]
    fn a_slow_series_is_whole() {
        let (times, _) = with_gaps(&[0, 300, 600, 900, 3000], &[Some(1.0); 5], 10);
        assert_eq!(times.len(), 6, "only the last hole is one");
    }

    #[test]
    fn a_hole_breaks_the_curve() {
        let (times, values) = with_gaps(&[0, 10, 100, 110], &[Some(1.0), None, Some(3.0), Some(4.0)], 10);
        assert_eq!(times.len(), 5);
        assert!(values[1].is_nan() && values[2].is_nan());
        assert!((values[4] - 4.0).abs() < f64::EPSILON);
    }
}
