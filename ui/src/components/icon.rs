//! Line icons, drawn for a 24 by 24 square with the current colour.

use yew::prelude::*;

/// Properties of [`Icon`].
#[derive(Properties, PartialEq)]
pub struct IconProps {
    /// One of the names below; another draws nothing.
    pub name: &'static str,
    /// Classes; the default is the rail's size.
    #[prop_or("size-[15px]")]
    pub class: &'static str,
}

/// A picture beside a word; it says nothing by itself, so readers of the screen skip it.
#[component]
pub fn Icon(props: &IconProps) -> Html {
    html! {
        <svg viewBox="0 0 24 24" class={classes!("shrink-0", "fill-none", "stroke-current", props.class)}
            stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
            <path d={path(props.name)} />
        </svg>
    }
}

fn path(name: &str) -> &'static str {
    match name {
        "home" => "M3 11l9-8 9 8v9a1 1 0 0 1-1 1h-5v-6h-6v6H4a1 1 0 0 1-1-1z",
        "journal" => "M5 4h14v16H5zM8 9h8M8 13h8M8 17h5",
        "accounts" => "M4 6h7M4 12h7M4 18h7M15 6h5M15 12h5M15 18h5",
        "reference" => "M4 5h16v5H4zM4 14h16v5H4zM9 5v5M9 14v5",
        "balance" => "M12 4v16M6 20h12M4 8h16M4 8l-2 6h5zM20 8l-3 6h5z",
        "pulse" => "M3 12h4l3-8 4 16 3-8h4",
        "bell" => "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
        "report" => "M6 3h9l4 4v14H6zM14 3v5h5M9 17v-3M12 17v-6M15 17v-4",
        "shield" => "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM9 12l2 2 4-4",
        "logs" => "M4 5h16M4 10h10M4 15h16M4 20h7",
        "network" => "M9 3h6v5H9zM3 16h6v5H3zM15 16h6v5h-6zM12 8v4M6 16v-4h12v4",
        "rules" => "M5 4h11l3 3v13H5zM9 9h6M9 13h6M9 17h3",
        "sync" => "M4 9a8 8 0 0 1 14-3l2 2M20 4v4h-4M20 15a8 8 0 0 1-14 3l-2-2M4 20v-4h4",
        "audit" => "M9 4H5v16h14V4h-4M9 3h6v3H9zM9 13l2 2 4-4",
        "users" => "M16 20v-2a4 4 0 0 0-8 0v2M12 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6",
        "settings" => {
            "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M5.6 18.4l2.1-2.1M16.3 7.7l2.1-2.1"
        }
        "box" => "M3 7l9-4 9 4v10l-9 4-9-4zM3 7l9 4 9-4M12 11v10",
        "customers" => "M4 21V5l8-2v18M12 9h8v12M3 21h18M7 9h2M7 13h2M7 17h2M15 13h2M15 17h2",
        "proposal" => "M4 5h16v11H9l-5 4zM8 9h8M8 12h5",
        "quarantine" => "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM12 8v5M12 16v.5",
        "more" => "M5 11v2M12 11v2M19 11v2",
        "close" => "M6 6l12 12M18 6L6 18",
        "minus" => "M5 12h14",
        "mute" => "M6 16V11a6 6 0 0 1 9-5M18 11v5l2 2H8M10 21h4M4 4l16 16",
        "plus" => "M12 5v14M5 12h14",
        "search" => "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14M20 20l-4-4",
        "download" => "M12 4v11M8 11l4 4 4-4M5 20h14",
        "copy" => "M9 9h11v11H9zM5 15H4V4h11v1",
        "sun" => {
            "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6L7 7M17 17l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4"
        }
        "left" => "M14 6l-6 6 6 6",
        "chevron" => "M7 10l5 5 5-5",
        "trash" => "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
        "key" => "M8 17a4 4 0 1 0 0-8 4 4 0 0 0 0 8M11 11l9-7M16 7l3 3",
        "out" => "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
        "check" => "M5 12l5 5 9-10",
        "view" => "M4 6h16M7 12h10M10 18h4",
        "keyboard" => "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M8 14h8",
        _ => "",
    }
}
