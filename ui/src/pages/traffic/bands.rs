//! Who talks to whom, drawn: devices at the left, whom they ask at the right, between them a band as wide as its bytes in
//! the colour of what is spoken. Both sides add up to all bytes: what has no band of its own is in those of the others.

use crate::{
    components::list::Set,
    format,
    pages::guard::{app, colour},
};
use gloo_events::EventListener;
use sent_contract::guard::{End, Traffic};
use std::{collections::BTreeMap, net::IpAddr, rc::Rc};
use wasm_bindgen::UnwrapThrowExt;
use web_sys::Element;
use yew::prelude::*;

/// Ends at each side, the others not counted.
const MOST: (usize, usize) = (10, 14);
/// Pixels that all bytes take together: so many for each end, so many at most. Then those that a label takes, and between
/// two ends.
const BODY: (f64, f64) = (44.0, 300.0);
const LABEL: f64 = 17.0;
const GAP: f64 = 5.0;
/// Width of an end's bar.
const BAR: f64 = 5.0;
/// Place of what has no colour of its own.
const REST: usize = 4;

/// Bytes there and back.
type Sums = (u64, u64);

fn add(to: &mut Sums, more: Sums) {
    *to = (to.0 + more.0, to.1 + more.1);
}

fn whole(sums: Sums) -> u64 {
    sums.0 + sums.1
}

/// An end as it stands at its side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// What it is called.
    pub label: String,
    /// Its keys: a device can have several addresses; none are the others.
    pub keys: Vec<String>,
    /// The device.
    pub mac: Option<String>,
    sums: Sums,
    top: f64,
    height: f64,
}

/// From an end at the left to one at the right.
#[derive(Clone, Debug, PartialEq)]
struct Band {
    from: usize,
    to: usize,
    /// Place among the applications with a colour; [`REST`] are all others.
    spoken: usize,
    sums: Sums,
    leaves: f64,
    arrives: f64,
    width: f64,
}

/// What is drawn, in pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    left: Vec<Node>,
    right: Vec<Node>,
    /// The widest first, so that no thin one lies hidden.
    bands: Vec<Band>,
    apps: Vec<String>,
    height: f64,
}

/// Applications that have a colour, as the answer's columns have them.
pub fn coloured(traffic: &Traffic) -> Vec<String> {
    traffic.apps.iter().filter_map(|spoken| spoken.app.clone()).take(REST).collect()
}

/// The first ends as nodes, those of one device as one, and where each key stands.
pub fn nodes(ends: &[End], most: usize) -> (Vec<Node>, BTreeMap<String, usize>) {
    let (mut nodes, mut places) = (Vec::<Node>::new(), BTreeMap::new());
    for end in ends {
        let known = nodes.iter().position(|node| end.mac.is_some() && node.mac == end.mac);
        let place = match known {
            Some(place) => place,
            None if nodes.len() < most => {
                let label = end.name.clone().unwrap_or_else(|| end.key.clone());
                nodes.push(Node { label, mac: end.mac.clone(), ..Node::default() });
                nodes.len() - 1
            }
            None => continue,
        };
        nodes[place].keys.push(end.key.clone());
        add(&mut nodes[place].sums, (end.bytes_out, end.bytes_in));
        places.insert(end.key.clone(), place);
    }
    (nodes, places)
}

impl Node {
    /// Bytes, both ways.
    pub fn bytes(&self) -> u64 {
        whole(self.sums)
    }

    /// Bytes there and bytes back, in words.
    pub fn ways(&self) -> String {
        ways(self.sums)
    }
}

/// `1.2 MB there, 40 MB back`.
fn ways((there, back): Sums) -> String {
    format!("{} there, {} back", format::bytes(there as f64), format::bytes(back as f64))
}

impl Drawing {
    /// Of what was answered.
    pub fn of(traffic: &Traffic) -> Self {
        let apps = coloured(traffic);
        let (mut left, from) = nodes(&traffic.top_sources, MOST.0);
        let (mut right, to) = nodes(&traffic.top_destinations, MOST.1);
        let (others_left, others_right) = (left.len(), right.len());
        let mut cells = BTreeMap::<(usize, usize, usize), Sums>::new();
        for link in &traffic.links {
            let spoken = apps.iter().position(|app| link.app.as_ref() == Some(app)).unwrap_or(REST);
            let at = |places: &BTreeMap<String, usize>, key: &str, others| places.get(key).copied().unwrap_or(others);
            let cell = (at(&from, &link.source, others_left), at(&to, &link.destination, others_right), spoken);
            add(cells.entry(cell).or_default(), (link.bytes_out, link.bytes_in));
        }
        // Links that were left out of the answer.
        let mut missing = (traffic.bytes_out, traffic.bytes_in);
        for sums in cells.values() {
            missing = (missing.0.saturating_sub(sums.0), missing.1.saturating_sub(sums.1));
        }
        if whole(missing) > 0 {
            add(cells.entry((others_left, others_right, REST)).or_default(), missing);
        }
        let others = |count: u64, shown: usize| match count.saturating_sub(shown as u64) {
            0 => "others".to_owned(),
            count => format::counted(count, "other", "others"),
        };
        for (nodes, count, shown) in
            [(&mut left, traffic.sources, from.len()), (&mut right, traffic.destinations, to.len())]
        {
            nodes.iter_mut().for_each(|node| node.sums = (0, 0));
            nodes.push(Node { label: others(count, shown), ..Node::default() });
        }
        for ((from, to, _), sums) in &cells {
            add(&mut left[*from].sums, *sums);
            add(&mut right[*to].sums, *sums);
        }
        // The others come last, and only where there are any; an end whose links were all left out goes.
        let ends = left
            .iter()
            .filter(|node| node.bytes() > 0)
            .count()
            .max(right.iter().filter(|node| node.bytes() > 0).count());
        let body = (ends as f64 * BODY.0).min(BODY.1);
        let scale = body / (whole((traffic.bytes_out, traffic.bytes_in)).max(1)) as f64;
        let (tall, short) = (stack(&mut left, scale), stack(&mut right, scale));
        let height = tall.max(short);
        for (nodes, own) in [(&mut left, tall), (&mut right, short)] {
            nodes.iter_mut().for_each(|node| node.top += (height - own) / 2.0);
        }
        // Bands leave in the order of where they arrive, so that they cross as little as can be.
        let (mut leaving, mut arriving) = (vec![0.0; left.len()], vec![0.0; right.len()]);
        let mut bands: Vec<Band> = cells
            .iter()
            .map(|(&(from, to, spoken), &sums)| {
                let width = whole(sums) as f64 * scale;
                let (leaves, arrives) = (left[from].top + leaving[from], right[to].top + arriving[to]);
                leaving[from] += width;
                arriving[to] += width;
                Band { from, to, spoken, sums, leaves, arrives, width }
            })
            .collect();
        bands.sort_by_key(|band| std::cmp::Reverse(whole(band.sums)));
        Self { left, right, bands, apps, height }
    }

    fn named(&self, spoken: usize) -> String {
        self.apps.get(spoken).map_or_else(|| "other applications".to_owned(), |name| app(Some(name)))
    }

    /// What is said of a thing that is pointed at.
    fn told(&self, over: Over) -> String {
        match over {
            Over::Band(at) => {
                let band = &self.bands[at];
                let (from, to) = (&self.left[band.from].label, &self.right[band.to].label);
                format!("{from} → {to} · {} · {}", self.named(band.spoken), ways(band.sums))
            }
            Over::Left(at) => format!("{} · {}", self.left[at].label, self.left[at].ways()),
            Over::Right(at) => format!("{} · {}", self.right[at].label, self.right[at].ways()),
        }
    }

    /// The filters that leave just this.
    fn picked(&self, over: Over) -> Vec<(&'static str, String)> {
        match over {
            Over::Band(at) => {
                let band = &self.bands[at];
                let mut filters = picked(&[&self.left[band.from], &self.right[band.to]]);
                filters.extend(self.apps.get(band.spoken).map(|app| ("app", app.clone())));
                filters
            }
            Over::Left(at) => picked(&[&self.left[at]]),
            Over::Right(at) => picked(&[&self.right[at]]),
        }
    }

    fn lit(&self, band: &Band, at: usize, over: Over) -> bool {
        match over {
            Over::Band(over) => over == at,
            Over::Left(over) => over == band.from,
            Over::Right(over) => over == band.to,
        }
    }
}

/// The filters that leave just these ends.
pub fn picked(nodes: &[&Node]) -> Vec<(&'static str, String)> {
    let (mut addresses, mut filters) = (Vec::new(), Vec::new());
    for node in nodes {
        match (node.keys.as_slice(), &node.mac) {
            ([key], _) if key.parse::<IpAddr>().is_ok() => addresses.push(key.as_str()),
            ([key], _) => filters.push(("q", key.clone())),
            ([_, ..], Some(mac)) => filters.push(("mac", mac.clone())),
            _ => {}
        }
    }
    if !addresses.is_empty() {
        filters.push(("address", addresses.join(" ")));
    }
    filters
}

/// Stands nodes below each other; answers how much room they take.
fn stack(nodes: &mut [Node], scale: f64) -> f64 {
    let mut top = 0.0;
    for node in nodes.iter_mut().filter(|node| node.bytes() > 0) {
        node.height = node.bytes() as f64 * scale;
        let slot = node.height.max(LABEL);
        node.top = top + (slot - node.height) / 2.0;
        top += slot + GAP;
    }
    (top - GAP).max(LABEL)
}

/// What is pointed at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    Band(usize),
    Left(usize),
    Right(usize),
}

/// A text that fits into so many letters. Of a host's name the end is kept: it says whose it is.
fn fitted(text: &str, letters: usize, end: bool) -> String {
    let count = text.chars().count();
    if count <= letters {
        return text.to_owned();
    }
    let keep = letters.saturating_sub(1);
    match end {
        true => {
            let kept: String = text.chars().skip(count - keep).collect();
            format!("…{}", kept.trim_start_matches('.'))
        }
        false => format!("{}…", text.chars().take(keep).collect::<String>()),
    }
}

/// The width of an element, as of the last change of the window's.
#[hook]
fn use_width(node: &NodeRef) -> f64 {
    let width = use_state_eq(|| 0.0);
    let (node, setter) = (node.clone(), width.setter());
    use_effect_with((), move |()| {
        let look = move || {
            if let Some(element) = node.cast::<Element>() {
                setter.set(f64::from(element.client_width()));
            }
        };
        look();
        let window = web_sys::window().expect_throw("a page has a window");
        let listener = EventListener::new(&window, "resize", move |_| look());
        move || drop(listener)
    });
    *width
}

/// Properties of [`Bands`].
#[derive(Properties, PartialEq)]
pub struct BandsProps {
    /// What is drawn.
    pub traffic: Rc<Traffic>,
    /// Filters the page.
    pub set: Set,
}

/// The drawing. Arrows go through the bands, Enter filters by one, as pressing it does.
#[component]
pub fn Bands(props: &BandsProps) -> Html {
    let node = use_node_ref();
    let width = use_width(&node);
    let over = use_state_eq(|| None::<Over>);
    let drawing = use_memo(Rc::as_ptr(&props.traffic) as usize, |_| Drawing::of(&props.traffic));
    // What was pointed at may be gone with a new answer.
    let pointed = (*over).filter(|over| match *over {
        Over::Band(at) => at < drawing.bands.len(),
        Over::Left(at) => at < drawing.left.len(),
        Over::Right(at) => at < drawing.right.len(),
    });
    let point = |to: Option<Over>| {
        let over = over.setter();
        Callback::from(move |_: MouseEvent| over.set(to))
    };
    let pick = |at: Over| {
        let filters = drawing.picked(at);
        props.set.reform(move |_: MouseEvent| filters.clone())
    };
    let onkeydown = {
        let (over, drawing, set) = (over.clone(), drawing.clone(), props.set.clone());
        Callback::from(move |event: KeyboardEvent| {
            let last = drawing.bands.len().saturating_sub(1);
            let at = match *over {
                Some(Over::Band(at)) => Some(at.min(last)),
                _ => None,
            };
            match event.key().as_str() {
                "ArrowDown" | "ArrowRight" => over.set(Some(Over::Band(at.map_or(0, |at| (at + 1).min(last))))),
                "ArrowUp" | "ArrowLeft" => over.set(Some(Over::Band(at.map_or(0, |at| at.saturating_sub(1))))),
                "Enter" | " " if at.is_some() => {
                    set.emit(at.map(|at| drawing.picked(Over::Band(at))).unwrap_or_default());
                }
                "Escape" if at.is_some() => over.set(None),
                _ => return,
            }
            event.prevent_default();
            event.stop_propagation();
        })
    };
    let narrow = width < 560.0;
    let margin = if narrow { (width * 0.29).round() } else { 190.0 };
    let letters = (margin / 6.6) as usize;
    let (x0, x1) = (margin + BAR, width - margin - BAR);
    let label = |node: &Node, end: bool| {
        let size = (!narrow).then(|| format::bytes(node.bytes() as f64));
        let room = letters.saturating_sub(size.as_ref().map_or(1, |size| size.len() + 3));
        let name = fitted(&node.label, room, end && node.label.contains('.'));
        html! { <>{ name }if let Some(size) = size { <tspan class="fill-ink-3" dx="7">{ size }</tspan> }</> }
    };
    let side = |nodes: &[Node], right: bool| -> Html {
        let ends = nodes.iter().enumerate().filter(|(_, node)| node.bytes() > 0);
        ends.map(|(at, node)| {
            let over = if right { Over::Right(at) } else { Over::Left(at) };
            let (bar, text) = if right { (x1, x1 + BAR + 7.0) } else { (margin, margin - 7.0) };
            let middle = node.top + node.height / 2.0;
            let top = middle - node.height.max(LABEL) / 2.0;
            html! {
                <g key={format!("{right} {at}")} class={classes!("end", (!node.keys.is_empty()).then_some("cursor-pointer"))} onmouseenter={point(Some(over))} onmouseleave={point(None)} onclick={pick(over)}>
                    <rect class="fill-transparent" x={if right { x1 } else { 0.0 }.to_string()} y={top.to_string()} width={(margin + BAR).to_string()} height={node.height.max(LABEL).to_string()} />
                    <rect class="fill-ink-2" x={bar.to_string()} y={node.top.to_string()} width={BAR.to_string()} height={node.height.max(1.0).to_string()} rx="1.5" />
                    <text class={if node.keys.is_empty() { "fill-ink-3" } else { "fill-ink" }} x={text.to_string()} y={middle.to_string()} dominant-baseline="central" text-anchor={if right { "start" } else { "end" }}>{ label(node, right) }<title>{ format!("{} · {}", node.label, node.ways()) }</title></text>
                </g>
            }
        })
        .collect()
    };
    let bend = (x0 + x1) / 2.0;
    let bands = drawing.bands.iter().enumerate().map(|(at, band)| {
        let width = band.width.max(1.0);
        let (a, b) = (band.leaves, band.arrives);
        let path = format!(
            "M{x0} {a:.1}C{bend} {a:.1} {bend} {b:.1} {x1} {b:.1}L{x1} {:.1}C{bend} {:.1} {bend} {:.1} {x0} {:.1}Z",
            b + width,
            b + width,
            a + width,
            a + width
        );
        let look = match pointed {
            None => "opacity-45",
            Some(over) if drawing.lit(band, at, over) => "opacity-90",
            Some(_) => "opacity-10",
        };
        let over = Over::Band(at);
        html! {
            <path key={at} class={classes!("band", "cursor-pointer", "transition-opacity", colour(band.spoken), look)} d={path} onmouseenter={point(Some(over))} onmouseleave={point(None)} onclick={pick(over)} />
        }
    });
    let told = pointed.map(|over| drawing.told(over));
    html! {
        <div ref={node}>
            if width > 0.0 {
                <svg class="flows block h-auto w-full text-sm" viewBox={format!("0 -2 {width} {:.0}", drawing.height + 4.0)} tabindex="0" role="group"
                    aria-label="Who talks to whom: the arrows go through the bands, Enter filters by one" {onkeydown} onblur={let over = over.setter(); Callback::from(move |_: FocusEvent| over.set(None))}>
                    { for bands }
                    { side(&drawing.left, false) }
                    { side(&drawing.right, true) }
                </svg>
            }
            <p role="status" class="mt-2 min-h-10 text-sm break-words text-ink-2 md:min-h-5 md:truncate">
                { told.unwrap_or_else(|| "As wide as its bytes. Press a band, a device or a name to see only that.".to_owned()) }
            </p>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sent_contract::guard::{Link, Spoken};

    fn end(key: &str, mac: Option<&str>, bytes: u64) -> End {
        End { key: key.into(), name: None, mac: mac.map(Into::into), flows: 1, bytes_out: bytes, bytes_in: 0 }
    }

    fn traffic(links: &[(u8, u8, u64)]) -> Traffic {
        let mut traffic = Traffic::default();
        let (mut from, mut to) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
        for (source, destination, bytes) in links {
            let (source, destination) = (format!("10.0.0.{source}"), format!("host{destination}.example"));
            *from.entry(source.clone()).or_default() += bytes;
            *to.entry(destination.clone()).or_default() += bytes;
            traffic.bytes_out += bytes;
            traffic.links.push(Link { source, destination, app: Some("tls".into()), bytes_out: *bytes, bytes_in: 0 });
        }
        traffic.apps = vec![Spoken { app: Some("tls".into()), flows: 1, bytes_out: traffic.bytes_out, bytes_in: 0 }];
        (traffic.sources, traffic.destinations) = (from.len() as u64, to.len() as u64);
        traffic.top_sources = from.iter().map(|(key, bytes)| end(key, None, *bytes)).collect();
        traffic.top_destinations = to.iter().map(|(key, bytes)| end(key, None, *bytes)).collect();
        traffic
    }

    #[test]
    fn a_device_with_two_addresses_is_one() {
        let ends = [end("10.0.0.1", Some("aa"), 5), end("10.0.0.2", None, 4), end("fe80::1", Some("aa"), 3)];
        let (nodes, places) = nodes(&ends, 2);
        assert_eq!((nodes.len(), nodes[0].bytes(), places["fe80::1"]), (2, 8, 0));
        assert_eq!(picked(&[&nodes[0]]), [("mac", "aa".to_owned())]);
        assert_eq!(picked(&[&nodes[1]]), [("address", "10.0.0.2".to_owned())]);
    }

    #[test]
    fn a_band_filters_by_both_its_ends() {
        let drawing = Drawing::of(&traffic(&[(1, 2, 100)]));
        let wanted = [("q", "host2.example".to_owned()), ("address", "10.0.0.1".to_owned()), ("app", "tls".to_owned())];
        assert_eq!(drawing.picked(Over::Band(0)), wanted);
    }

    #[test]
    fn a_name_keeps_what_tells_most() {
        assert_eq!(fitted("cdn-7.media.example.com", 13, true), "…example.com");
        assert_eq!(fitted("reception", 6, false), "recep…");
        assert_eq!(fitted("short", 6, false), "short");
    }

    proptest! {
        /// Whatever talks to whatever: no byte is lost, and no end lies over another.
        #[test]
        fn all_bytes_are_drawn(links in prop::collection::vec((0_u8..30, 0_u8..40, 1_u64..1_000_000), 1..200)) {
            let traffic = traffic(&links);
            let drawing = Drawing::of(&traffic);
            let total: u64 = links.iter().map(|(.., bytes)| bytes).sum();
            prop_assert_eq!(drawing.bands.iter().map(|band| whole(band.sums)).sum::<u64>(), total);
            for side in [&drawing.left, &drawing.right] {
                prop_assert_eq!(side.iter().map(Node::bytes).sum::<u64>(), total);
                let shown: Vec<_> = side.iter().filter(|node| node.bytes() > 0).collect();
                prop_assert!(shown.windows(2).all(|pair| pair[0].top + pair[0].height <= pair[1].top));
                prop_assert!(shown.iter().all(|node| node.top >= 0.0 && node.top + node.height <= drawing.height + 0.01));
            }
        }
    }
}
