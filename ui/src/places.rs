//! What every page is called and where it stands: the one table that the rail, the bar's trail, the window's title, the
//! palette and the sheet of keys read.

use crate::route::Route;

/// A page that stands in the rail.
#[derive(Debug, PartialEq)]
pub struct Place {
    /// Where it is.
    pub route: Route,
    /// Its picture.
    pub icon: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `g` and then this goes there.
    pub key: char,
}

const fn place(route: Route, icon: &'static str, name: &'static str, key: char) -> Place {
    Place { route, icon, name, key }
}

const BOX: [(&str, &[Place]); 4] = [
    ("", &[place(Route::Home, "home", "Home", 'h')]),
    (
        "Business",
        &[
            place(Route::Journal, "journal", "Journal", 'j'),
            place(Route::Accounts, "accounts", "Accounts", 'a'),
            place(Route::TrialBalance, "balance", "Trial balance", 't'),
            place(Route::Reference, "reference", "Reference data", 'r'),
        ],
    ),
    (
        "Security & infrastructure",
        &[
            place(Route::Hosts, "pulse", "Monitoring", 'm'),
            place(Route::Alerts, "bell", "Alerts", 'l'),
            place(Route::Security, "shield", "Security", 'e'),
            place(Route::Logs, "logs", "Logs", 'o'),
            place(Route::Network, "network", "Network", 'n'),
            place(Route::Reports, "report", "Reports", 'p'),
        ],
    ),
    (
        "Box",
        &[
            place(Route::Sync, "sync", "Sync", 's'),
            place(Route::Audit, "audit", "Audit", 'd'),
            place(Route::Users, "users", "Users", 'u'),
            place(Route::Settings, "settings", "Settings", ','),
        ],
    ),
];

const FLEET: [(&str, &[Place]); 2] = [
    (
        "Fleet",
        &[
            place(Route::Boxes, "box", "Boxes", 'b'),
            place(Route::Customers, "customers", "Customers", 'c'),
            place(Route::Reference, "reference", "Reference data", 'r'),
            place(Route::Alerts, "bell", "Alerts", 'l'),
            place(Route::Security, "shield", "Security", 'x'),
            place(Route::Network, "network", "Network", 'n'),
            place(Route::Packs, "rules", "Rule packs", 'k'),
            place(Route::Entries, "journal", "Entries", 'e'),
            place(Route::Proposals, "proposal", "Proposals", 'p'),
            place(Route::Quarantine, "quarantine", "Quarantine", 'q'),
        ],
    ),
    (
        "Console",
        &[
            place(Route::Audit, "audit", "Audit", 'd'),
            place(Route::Users, "users", "Users", 'u'),
            place(Route::Settings, "settings", "Settings", ','),
        ],
    ),
];

/// The groups of this face, in the rail's order, with their pages.
pub fn groups(fleet: bool) -> &'static [(&'static str, &'static [Place])] {
    if fleet { &FLEET } else { &BOX }
}

/// Every page in the rail of this face.
pub fn places(fleet: bool) -> impl Iterator<Item = &'static Place> {
    groups(fleet).iter().flat_map(|(_, places)| places.iter())
}

/// The way to a page: group, page of the rail, and the page itself where it stands below that one.
#[derive(Debug, PartialEq)]
pub struct Trail {
    /// Group; empty where a page belongs to none.
    pub group: &'static str,
    /// The page of the rail, where the way leads through one.
    pub place: Option<&'static Place>,
    /// What the page is called.
    pub title: &'static str,
}

/// The way to the page of this address.
pub fn trail(route: &Route, fleet: bool) -> Trail {
    let at = route.place(fleet);
    let find = |(group, places): &(&'static str, &'static [Place])| {
        places.iter().find(|place| place.route == at).map(|place| (*group, place))
    };
    let (group, place) = groups(fleet).iter().find_map(find).unzip();
    let group = group.unwrap_or_default();
    match (below(route, fleet), place) {
        (Some(title), place) => Trail { group, place, title },
        (None, Some(place)) => Trail { group, place: None, title: place.name },
        (None, None) => Trail { group, place: None, title: "Not found" },
    }
}

/// The name of a page that does not stand in the rail itself.
fn below(route: &Route, fleet: bool) -> Option<&'static str> {
    Some(match route {
        Route::NewEntry => "New entry",
        Route::Import => "Import",
        Route::Entry { .. } => "Entry",
        Route::Checks => "Checks",
        Route::Charts => "Charts",
        Route::Rules => "Alert rules",
        Route::Cases => "Cases",
        Route::Case { .. } => "Case",
        Route::Detection => "Detection rules",
        Route::Devices => "Devices",
        Route::Device { .. } => "Device",
        Route::Detections => "Detections",
        Route::Certificates => "Certificates",
        Route::Capture => "Capture",
        Route::Machine { .. } => "Box",
        Route::Account => "My account",
        Route::Quarantine if !fleet => "Quarantine",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_key_of_its_own() {
        for fleet in [false, true] {
            let mut keys: Vec<char> = places(fleet).map(|place| place.key).collect();
            let all = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), all);
        }
    }

    #[test]
    fn the_trail_says_what_the_rail_says() {
        for fleet in [false, true] {
            for (group, places) in groups(fleet) {
                for place in *places {
                    let expected = Trail { group, place: None, title: place.name };
                    assert_eq!(trail(&place.route, fleet), expected);
                }
            }
        }
        let entry = trail(&Route::Entry { id: "1".into() }, false);
        assert_eq!(
            (entry.group, entry.place.map(|place| place.name), entry.title),
            ("Business", Some("Journal"), "Entry")
        );
        let account = trail(&Route::Account, true);
        assert_eq!((account.group, account.place, account.title), ("", None, "My account"));
        assert_eq!(trail(&Route::Home, true).title, "Boxes");
        assert_eq!(trail(&Route::Missing, false).title, "Not found");
    }
}
