//! What was done, in people's words. Actions are named by codes (`capital.entry.post`), which are what rights and filters
//! speak of; a page says the words and keeps the code beside them. A code that is not listed here is taken apart, so that
//! a new engine's actions read tolerably before anybody listed them.

use std::borrow::Cow;

/// Code, and what somebody did.
const ACTIONS: &[(&str, &str)] = &[
    ("audit.verify", "Verified the audit chain"),
    ("box.backup", "Backed the box up"),
    ("box.restore", "Restored the box"),
    ("capital.account.close", "Set an account's last day"),
    ("capital.account.create", "Made an account"),
    ("capital.account.edit", "Changed an account"),
    ("capital.account.rename", "Renamed an account"),
    ("capital.account.update", "Changed an account"),
    ("capital.entry.import", "Imported entries"),
    ("capital.entry.post", "Posted an entry"),
    ("capital.entry.reverse", "Reversed an entry"),
    ("capital.rate.set", "Set an exchange rate"),
    ("fleet.account.close", "Set the last day of a customer's account"),
    ("fleet.account.create", "Made an account for a customer"),
    ("fleet.account.edit", "Changed a customer's account"),
    ("fleet.action", "Acted on many boxes"),
    ("fleet.box.command", "Sent a command to a box"),
    ("fleet.box.desired", "Changed what a box should be"),
    ("fleet.box.enrol", "Enrolled a box"),
    ("fleet.box.revoke", "Revoked a box"),
    ("fleet.branch.create", "Made a branch"),
    ("fleet.claim.create", "Made a claim code"),
    ("fleet.item.close", "Set an item's last day"),
    ("fleet.item.create", "Made an item"),
    ("fleet.item.edit", "Changed an item"),
    ("fleet.organization.create", "Made a customer"),
    ("fleet.pack.apply", "Decided where a pack of rules runs"),
    ("fleet.pack.remove", "Removed a version of a pack of rules"),
    ("fleet.pack.upload", "Uploaded a pack of rules"),
    ("fleet.proposal.accept", "Accepted a proposal"),
    ("fleet.proposal.refuse", "Refused a proposal"),
    ("fleet.quarantine.retry", "Tried a quarantined transaction again"),
    ("fleet.quarantine.skip", "Skipped a quarantined transaction"),
    ("fleet.rate.remove", "Removed an exchange rate"),
    ("fleet.rate.set", "Set an exchange rate"),
    ("fleet.role.create", "Made a role for a customer"),
    ("fleet.role.edit", "Changed a customer's role"),
    ("fleet.role.remove", "Removed a customer's role"),
    ("fleet.setting.remove", "Removed a customer's setting"),
    ("fleet.setting.set", "Set a customer's setting"),
    ("fleet.tax.close", "Set a tax rate's last day"),
    ("fleet.tax.create", "Made a tax rate"),
    ("fleet.tax.edit", "Changed a tax rate"),
    ("fleet.user.create", "Made a customer's user"),
    ("me.password", "Changed the own password"),
    ("me.totp.begin", "Began to set up the second factor"),
    ("me.totp.confirm", "Set up the second factor"),
    ("me.totp.remove", "Removed the second factor"),
    ("pulse.alert.acknowledge", "Acknowledged an alert"),
    ("pulse.alert.close", "Closed alerts"),
    ("pulse.alert.evaluate", "Raised or resolved an alert"),
    ("pulse.check.change", "Changed a check"),
    ("pulse.check.create", "Made a check"),
    ("pulse.check.delete", "Removed a check"),
    ("pulse.check.run", "Ran a check now"),
    ("pulse.check.state", "Saw a check change its state"),
    ("pulse.check.update", "Changed a check"),
    ("pulse.notification.attempt", "Notified people"),
    ("pulse.rule.change", "Changed an alert rule"),
    ("pulse.rule.create", "Made an alert rule"),
    ("pulse.rule.delete", "Removed an alert rule"),
    ("pulse.silence.create", "Silenced alerts"),
    ("pulse.silence.delete", "Ended a silence"),
    ("radar.alert.raise", "Raised an alert out of the logs"),
    ("radar.case.change", "Changed a case"),
    ("radar.case.comment", "Commented on a case"),
    ("radar.case.prune", "Removed old cases"),
    ("radar.exception.create", "Made an exception"),
    ("radar.exception.delete", "Ended an exception"),
    ("radar.pack.enable", "Switched a pack of rules"),
    ("radar.pack.install", "Installed a pack of rules"),
    ("radar.pack.remove", "Removed a pack of rules"),
    ("radar.rule.enable", "Switched a rule"),
    ("radar.rule.load", "Took up rules"),
    ("role.create", "Made a role"),
    ("role.edit", "Changed a role"),
    ("role.remove", "Removed a role"),
    ("session.close", "Signed out"),
    ("session.login", "Signed in"),
    ("session.logout", "Signed out"),
    ("session.open", "Signed in"),
    ("sync.given_back", "Got back what a restore had lost"),
    ("sync.given_back.apply", "Got back what a restore had lost"),
    ("sync.now", "Asked for a sync"),
    ("sync.quarantine.apply", "Applied a quarantined transaction"),
    ("sync.quarantine.drop", "Dropped a quarantined transaction"),
    ("sync.reference.apply", "Took reference data from the cloud"),
    ("token.create", "Made an API token"),
    ("token.delete", "Ended an API token"),
    ("token.remove", "Ended an API token"),
    ("token.wake", "Woke an API token"),
    ("user.change", "Changed a user"),
    ("user.create", "Made a user"),
    ("user.password", "Changed a password"),
    ("user.totp.begin", "Began to set up a second factor"),
    ("user.totp.confirm", "Set up a second factor"),
    ("user.totp.remove", "Removed a second factor"),
    ("user.update", "Changed a user"),
];

/// The last word of a code, as something that was done.
const VERBS: &[(&str, &str)] = &[
    ("accept", "Accepted"),
    ("apply", "Applied"),
    ("change", "Changed"),
    ("close", "Closed"),
    ("create", "Made"),
    ("delete", "Removed"),
    ("edit", "Changed"),
    ("import", "Imported"),
    ("open", "Opened"),
    ("post", "Posted"),
    ("refuse", "Refused"),
    ("remove", "Removed"),
    ("rename", "Renamed"),
    ("retry", "Retried"),
    ("run", "Ran"),
    ("set", "Set"),
    ("skip", "Skipped"),
    ("update", "Changed"),
    ("write", "Changed"),
];

fn look(table: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(code, _)| *code == name).map(|(_, words)| *words)
}

/// `capital.entry.post` as `Posted an entry`; `stock.item_group.create`, which is not listed, as `Made item group`.
pub fn action(code: &str) -> Cow<'static, str> {
    if let Some(words) = look(ACTIONS, code) {
        return words.into();
    }
    let (rest, last) = code.rsplit_once('.').unwrap_or(("", code));
    let noun = rest.split_once('.').map_or(rest, |(_, noun)| noun);
    let noun = plain(noun);
    match look(VERBS, last) {
        Some(verb) if !noun.is_empty() => format!("{verb} {noun}").into(),
        _ => crate::components::status::sentence(plain(&format!("{noun} {last}")).trim()).into(),
    }
}

/// A table's or a column's name: `check_states` as `check states`.
pub fn plain(name: &str) -> String {
    name.replace(['_', '.'], " ")
}

/// Names of metrics that are not their code without its unit.
const METRICS: &[(&str, &str)] = &[
    ("clock_offset_seconds", "Clock's offset"),
    ("cpu_core_usage_ratio", "Processor core"),
    ("cpu_usage_ratio", "Processor"),
    ("disk_read_bytes_per_second", "Disk reads"),
    ("disk_used_bytes", "Disk used"),
    ("disk_used_ratio", "Disk"),
    ("disk_write_bytes_per_second", "Disk writes"),
    ("load1", "Load, 1 min"),
    ("load15", "Load, 15 min"),
    ("load5", "Load, 5 min"),
    ("memory_used_bytes", "Memory used"),
    ("memory_used_ratio", "Memory"),
    ("net_receive_bytes_per_second", "Network in"),
    ("net_receive_used_ratio", "Network in, of the line"),
    ("net_transmit_bytes_per_second", "Network out"),
    ("net_transmit_used_ratio", "Network out, of the line"),
    ("process_cpu_usage_ratio", "Process, processor"),
    ("process_memory_bytes", "Process, memory"),
    ("tls_expires_seconds", "Certificate ends in"),
];

/// Units at the end of a metric's name; they stand beside its values.
const UNITS: &[&str] = &["_bytes_per_second", "_bytes", "_celsius", "_ratio", "_seconds"];

/// A metric's name: `cpu_usage_ratio` as `Processor`, `swap_used_bytes` as `Swap used`.
pub fn metric(name: &str) -> String {
    if let Some(words) = look(METRICS, name) {
        return words.to_owned();
    }
    let bare = UNITS.iter().find_map(|unit| name.strip_suffix(unit)).filter(|bare| !bare.is_empty());
    crate::components::status::sentence(&plain(bare.unwrap_or(name)))
}

/// How much an alert weighs.
pub fn severity(word: &str) -> String {
    match word {
        "bad" => "Critical".to_owned(),
        "warn" => "Warning".to_owned(),
        other => crate::components::status::sentence(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_codes_have_their_words_and_others_are_taken_apart() {
        assert_eq!(action("capital.entry.post"), "Posted an entry");
        assert_eq!(action("stock.item_group.create"), "Made item group");
        assert_eq!(action("optic.camera.wake"), "Camera wake");
        assert_eq!(action("boot"), "Boot");
    }

    #[test]
    fn a_metric_reads_without_its_unit() {
        assert_eq!(metric("cpu_usage_ratio"), "Processor");
        assert_eq!(metric("swap_used_bytes"), "Swap used");
        assert_eq!(metric("http_requests_total"), "Http requests total");
        assert_eq!(metric("_seconds"), " seconds");
    }

    #[test]
    fn codes_are_sorted_and_named_once() {
        assert!(ACTIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(VERBS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(METRICS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    proptest! {
        #[test]
        fn any_code_reads_as_something(code in "[a-z_]{1,8}(\\.[a-z_]{1,8}){0,3}") {
            prop_assert!(!action(&code).contains('.'));
        }
    }
}
