//! Every right that a route asks for, with what it lets a person do, so that a role is chosen and not typed. Boxes and console
//! have different ones. A test of each server compares its list with its own routes.

/// Rights that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// The pattern that covers all of them and whatever is added to them later (`capital.*`); none where they only stand together.
    pub pattern: Option<&'static str>,
    /// Each right, and what it lets a person do.
    pub rights: &'static [(&'static str, &'static str)],
}

/// Covers every right there is or will be.
pub const EVERYTHING: &str = "*";

/// The rights on a box.
pub const BOX: &[Group] = &[
    Group {
        name: "Books",
        pattern: Some("capital.*"),
        rights: &[
            ("capital.entry.read", "Read the journal"),
            ("capital.entry.post", "Post entries"),
            ("capital.entry.reverse", "Reverse entries"),
            ("capital.entry.import", "Import entries from a file"),
            ("capital.report.read", "Read the trial balance"),
            ("capital.account.read", "Read accounts, items, taxes and rates"),
            ("capital.account.write", "Make, change and close accounts"),
            ("capital.rate.write", "Set exchange rates"),
        ],
    },
    Group {
        name: "Monitoring",
        pattern: Some("pulse.*"),
        rights: &[
            ("pulse.read", "See hosts, checks, charts and alerts"),
            ("pulse.alert.acknowledge", "Acknowledge alerts"),
            ("pulse.silence.write", "Silence alerts"),
            ("pulse.check.run", "Run a check now"),
            ("pulse.check.write", "Make, change and remove checks"),
            ("pulse.rule.write", "Make, change and remove alert rules"),
            ("pulse.metrics.read", "Fetch the metrics for another system"),
        ],
    },
    Group {
        name: "Network",
        pattern: Some("guard.*"),
        rights: &[
            ("guard.read", "See traffic, devices, certificates and detections"),
            ("guard.write", "Acknowledge detections"),
            ("guard.packets", "Download captured packets"),
        ],
    },
    Group {
        name: "Logs",
        pattern: Some("radar.*"),
        rights: &[
            ("radar.read", "See alerts, cases, rules and how logs come in"),
            ("radar.search", "Search the logs, and hunt in them"),
            ("radar.case.write", "Work on cases"),
            ("radar.exception.write", "Make and remove exceptions"),
            ("radar.rule.write", "Switch rules, and install packs of them"),
            ("radar.intake", "Send logs"),
        ],
    },
    Group {
        name: "Reports",
        pattern: Some("shield.*"),
        rights: &[
            ("shield.read", "Read reports, and how and when they are made"),
            ("shield.report.make", "Make reports"),
            ("shield.write", "Change how and when reports are made, and remove them"),
        ],
    },
    Group {
        name: "Sync",
        pattern: Some("sync.*"),
        rights: &[
            ("sync.read", "See how the sync is"),
            ("sync.now", "Sync now"),
            ("sync.quarantine.read", "See what a restore left over"),
            ("sync.quarantine.write", "Apply or drop what a restore left over"),
        ],
    },
    Group {
        name: "Users",
        pattern: Some("user.*"),
        rights: &[("user.read", "See users and roles"), ("user.write", "Make, change and disable users")],
    },
    Group {
        name: "Audit",
        pattern: Some("audit.*"),
        rights: &[("audit.read", "Read the audit"), ("audit.verify", "Verify the audit chain")],
    },
    Group {
        name: "Box",
        pattern: None,
        rights: &[
            ("home.read", "See the home page"),
            ("settings.read", "Read the settings"),
            ("routes.read", "List the routes"),
        ],
    },
];

/// The rights at the console.
pub const CONSOLE: &[Group] = &[
    Group {
        name: "Fleet",
        pattern: Some("fleet.*"),
        rights: &[
            ("fleet.box.read", "See boxes, and what they measure"),
            ("fleet.box.write", "Act on boxes, and change what is desired of them"),
            ("fleet.claim.write", "Make claim codes for new boxes"),
            ("fleet.alert.read", "See the alerts of boxes"),
            ("fleet.security.read", "See what boxes found in their logs"),
            ("fleet.network.read", "See what boxes found on their networks"),
            ("fleet.pack.read", "See packs of rules, and where they run"),
            ("fleet.pack.write", "Upload packs of rules, and decide where they run"),
            ("fleet.entry.read", "Read the entries of customers"),
            ("fleet.organization.read", "See customers, their branches and roles"),
            ("fleet.organization.write", "Make customers, branches and their roles"),
            ("fleet.reference.read", "Read the reference data of customers"),
            ("fleet.reference.write", "Change the reference data of customers"),
            ("fleet.proposal.read", "See what branches propose"),
            ("fleet.proposal.write", "Accept or refuse what branches propose"),
            ("fleet.quarantine.read", "See what could not be projected"),
            ("fleet.quarantine.write", "Try again or skip what could not be projected"),
        ],
    },
    Group {
        name: "Users",
        pattern: Some("user.*"),
        rights: &[("user.read", "See users and roles"), ("user.write", "Make and change users and roles")],
    },
    Group {
        name: "Console",
        pattern: None,
        rights: &[
            ("audit.read", "Read the audit"),
            ("settings.read", "Read the settings"),
            ("routes.read", "List the routes"),
        ],
    },
];

/// Every right of these groups, in order of its name.
pub fn names(groups: &[Group]) -> Vec<&'static str> {
    let mut names: Vec<&str> = groups.iter().flat_map(|group| group.rights).map(|(right, _)| *right).collect();
    names.sort_unstable();
    names
}

/// Whether a pattern (`*`, `capital.*`) or right covers a right or a narrower pattern.
pub fn covers(pattern: &str, right: &str) -> bool {
    pattern == EVERYTHING
        || pattern == right
        || pattern.strip_suffix('*').is_some_and(|start| start.ends_with('.') && right.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_pattern_covers_its_rights_and_no_others() {
        for groups in [BOX, CONSOLE] {
            for group in groups {
                let Some(pattern) = group.pattern else { continue };
                let covered: Vec<&str> = names(groups).into_iter().filter(|right| covers(pattern, right)).collect();
                assert_eq!(covered, names(&[*group]), "{pattern}");
            }
        }
    }

    #[test]
    fn patterns_cover_whole_segments() {
        assert!(covers("*", "capital.entry.post"));
        assert!(covers("capital.*", "capital.entry.post") && covers("capital.*", "capital.entry.*"));
        assert!(covers("user.write", "user.write"));
        assert!(!covers("capital.*", "capitalism.entry.post"));
        assert!(!covers("user.read", "user.write") && !covers("capital.*", "*"));
    }
}
