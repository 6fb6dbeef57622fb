//! What words say: the log source of a program, and the addresses, users and outcomes in the few messages that every
//! branch office has: logins, firewalls, sudo.

use super::{
    names,
    record::{Batch, LogSource},
};

/// The log source of a program that writes to syslog, as SigmaHQ names them.
pub fn of_program(app: &str) -> LogSource<'static> {
    let name = app.rsplit_once('/').map_or(app, |(_, last)| last);
    let linux = |category: &'static str, service: &'static str| LogSource { product: "linux", category, service };
    match name {
        "sshd" | "sshd-session" => linux("", "sshd"),
        "sudo" => linux("", "sudo"),
        "su" | "login" | "systemd-logind" | "gdm-password]" | "passwd" | "useradd" | "usermod" | "groupadd" => {
            linux("", "auth")
        }
        "cron" | "CRON" | "crond" | "anacron" => linux("", "cron"),
        "audit" | "auditd" | "audispd" => linux("", "auditd"),
        "kernel" | "systemd" => linux("", "syslog"),
        "clamd" | "freshclam" | "clamav" => linux("", "clamav"),
        "vsftpd" => linux("", "vsftpd"),
        "guacd" | "guacamole" => linux("", "guacamole"),
        "named" | "dnsmasq" | "unbound" => LogSource { product: "", category: "dns", service: "" },
        "squid" => LogSource { product: "squid", category: "proxy", service: "" },
        "nginx" => LogSource { product: "", category: "webserver", service: "nginx" },
        "apache2" | "httpd" => LogSource { product: "apache", category: "webserver", service: "apache" },
        "filterlog" => LogSource { product: "", category: "firewall", service: "" },
        _ => LogSource::default(),
    }
}

/// The log source of Cisco's facilities.
pub fn of_cisco(facility: &str) -> LogSource<'static> {
    match facility {
        "ASA" | "PIX" | "FWSM" | "FTD" => LogSource { product: "cisco", category: "firewall", service: "" },
        "AAA" | "SEC_LOGIN" | "PARSER" => LogSource { product: "cisco", category: "", service: "aaa" },
        "BGP" => LogSource { product: "cisco", category: "", service: "bgp" },
        "LDP" => LogSource { product: "cisco", category: "", service: "ldp" },
        _ => LogSource { product: "cisco", category: "", service: "" },
    }
}

/// Fields of sshd's and PAM's messages.
pub fn words(message: &str, batch: &mut Batch) {
    match message.as_bytes().first() {
        Some(b'A' | b'F' | b'I') => login(message, batch),
        Some(b'p') => pam(message, batch),
        _ => {}
    }
}

/// `Accepted publickey for root from 10.0.0.9 port 4711 ssh2` and `Failed password for invalid user x from …`.
fn login(message: &str, batch: &mut Batch) {
    let (outcome, rest) = if let Some(rest) = message.strip_prefix("Accepted ") {
        ("success", rest)
    } else if let Some(rest) = message.strip_prefix("Failed ") {
        ("failure", rest)
    } else if let Some(rest) = message.strip_prefix("Invalid user ") {
        ("failure", rest)
    } else {
        return;
    };
    let Some((before, after)) = rest.split_once(" from ") else { return };
    let user = before.split_once(" for ").map_or(before, |(_, user)| user);
    let user = user.strip_prefix("invalid user ").unwrap_or(user);
    let mut tail = after.split(' ');
    let address = tail.next().unwrap_or_default();
    if address.parse::<std::net::IpAddr>().is_err() {
        return;
    }
    batch.put(names::EVENT_OUTCOME, outcome);
    batch.put(names::USER_NAME, user);
    batch.put(names::SOURCE_IP, address);
    if let (Some("port"), Some(port)) = (tail.next(), tail.next()) {
        batch.put(names::SOURCE_PORT, port);
    }
}

/// `pam_unix(sshd:auth): authentication failure; … rhost=10.0.0.9  user=root` and `session opened for user root`.
fn pam(message: &str, batch: &mut Batch) {
    if !message.starts_with("pam_") {
        return;
    }
    if message.contains("authentication failure") {
        batch.put(names::EVENT_OUTCOME, "failure");
    }
    if let Some((_, rest)) = message.split_once(" for user ") {
        let user = rest.split([' ', '(']).next().unwrap_or_default();
        batch.put(names::USER_NAME, user);
    }
}
