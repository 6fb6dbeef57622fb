//! Syslog: RFC 5424, RFC 3164 and what is sent in its name. Pure; every line has an answer, at worst "all of it is the
//! message", for RFC 3164 §4.3.3 lets anything through.

use super::time;

/// What the head of a line says. Pieces of the line; empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syslog<'a> {
    /// Facility × 8 + severity, 0 to 191.
    pub priority: Option<u8>,
    /// 1 for RFC 5424, 0 for all else.
    pub version: u8,
    /// µs since 1970 UTC.
    pub time: Option<i64>,
    /// The sender, as it names itself.
    pub host: &'a str,
    /// Program, tag or application name.
    pub app: &'a str,
    /// Process id or name.
    pub process: &'a str,
    /// Kind of the message (RFC 5424), or Cisco's mnemonic.
    pub message_id: &'a str,
    /// Structured data as it stands, brackets included; see [`elements`].
    pub data: &'a str,
    /// The message.
    pub message: &'a str,
    /// Cisco's facility, when the message has its form `%FACILITY-SEVERITY-MNEMONIC:`.
    pub cisco: &'a str,
    /// Cisco's severity, which counts more than the one of the priority.
    pub cisco_severity: Option<u8>,
}

/// Names of severities 0 to 7, as in RFC 5424 §6.2.1.
pub const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

/// Reads a line. `now` fills in a year that is left out; times without a zone are `offset` seconds east.
pub fn parse(line: &str, now: i64, offset: i32) -> Syslog<'_> {
    let (priority, rest) = priority(line).map_or((None, line), |(p, rest)| (Some(p), rest));
    if priority.is_some()
        && let Some(rest) = rest.strip_prefix("1 ")
        && let Some(found) = rfc5424(rest, offset)
    {
        return Syslog { priority, ..found };
    }
    Syslog { priority, ..rfc3164(rest, priority.is_some(), now, offset) }
}

/// `<PRI>`.
fn priority(line: &str) -> Option<(u8, &str)> {
    let bytes = line.as_bytes();
    if bytes.first() != Some(&b'<') {
        return None;
    }
    let end = bytes.iter().take(5).position(|b| *b == b'>')?;
    let digits = &bytes[1..end];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0u16, |n, d| n * 10 + u16::from(d - b'0'));
    (value <= 191).then(|| (value as u8, &line[end + 1..]))
}

/// RFC 5424 §6, after the version. `None` when it is none after all.
fn rfc5424(rest: &str, offset: i32) -> Option<Syslog<'_>> {
    let (stamp, rest) = word(rest)?;
    let time = match stamp {
        "-" => None,
        // Without a zone it breaks the RFC and is common all the same.
        _ => Some(time::iso(stamp, offset).filter(|(_, read)| *read == stamp.len())?.0),
    };
    let (host, rest) = word(rest)?;
    let (app, rest) = word(rest)?;
    let (process, rest) = word(rest)?;
    let (message_id, rest) = word(rest).unwrap_or((rest, ""));
    let (data, rest) = match rest.strip_prefix('-') {
        Some(rest) => ("", rest),
        None => rest.split_at(data_end(rest)),
    };
    let message = rest.strip_prefix(' ').unwrap_or(rest);
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    let said = |text: &'static str, part| if part == text { "" } else { part };
    Some(Syslog {
        version: 1,
        time,
        host: said("-", host),
        app: said("-", app),
        process: said("-", process),
        message_id: said("-", message_id),
        data,
        message,
        ..Syslog::default()
    })
}

/// Up to the next blank, and what comes after it.
fn word(text: &str) -> Option<(&str, &str)> {
    let end = memchr::memchr(b' ', text.as_bytes())?;
    (end > 0).then(|| (&text[..end], &text[end + 1..]))
}

/// Where structured data ends: after the `]` that no element follows. Data without an end is no data.
fn data_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = 0;
    while bytes.get(end) == Some(&b'[') {
        let mut quoted = false;
        let mut at = end + 1;
        loop {
            match bytes.get(at) {
                None => return end,
                Some(b'\\') if quoted => at += 1,
                Some(b'"') => quoted = !quoted,
                Some(b']') if !quoted => break,
                Some(_) => {}
            }
            at += 1;
        }
        end = at + 1;
    }
    end
}

/// Hands out the parameters of structured data: element id, name and value, whose escapes (§6.3.3) are undone in
/// `scratch`. Damaged parts are passed over.
pub fn elements(data: &str, scratch: &mut String, mut parameter: impl FnMut(&str, &str, &str)) {
    let mut rest = data;
    while let Some(inner) = rest.strip_prefix('[') {
        let id_end = inner.find([' ', ']']).unwrap_or(inner.len());
        let (id, mut pairs) = inner.split_at(id_end);
        loop {
            pairs = pairs.trim_start_matches(' ');
            if let Some(after) = pairs.strip_prefix(']') {
                rest = after;
                break;
            }
            let Some((name, value)) = pairs.split_once("=\"") else { return };
            scratch.clear();
            let mut end = None;
            let mut chars = value.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = Some(at);
                        break;
                    }
                    '\\' => match chars.next() {
                        Some((_, c @ ('"' | '\\' | ']'))) => scratch.push(c),
                        Some((_, c)) => scratch.extend(['\\', c]),
                        None => return,
                    },
                    c => scratch.push(c),
                }
            }
            let Some(end) = end else { return };
            parameter(id, name, scratch);
            pairs = &value[end + 1..];
        }
    }
}

/// RFC 3164 and its mutations: no priority, no host, no time, ISO times, Cisco's sequence numbers and marks.
fn rfc3164(text: &str, has_priority: bool, now: i64, offset: i32) -> Syslog<'_> {
    let mut found = Syslog { message: text, ..Syslog::default() };
    let mut rest = text.trim_start_matches(' ');
    // Cisco: `123: host: *Nov 23 19:30:42.123 UTC: %SYS-5-CONFIG_I: …`, each part but the last optional.
    if has_priority
        && let Some((number, after)) = rest.split_once(": ")
        && !number.is_empty()
        && number.len() <= 10
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        rest = after.trim_start_matches(' ');
        if let Some((host, after)) = rest.split_once(": ")
            && after.starts_with(['*', '.', '%', 'J', 'F', 'M', 'A', 'S', 'O', 'N', 'D'])
            && is_name(host)
        {
            found.host = host;
            rest = after;
        }
    }
    let unsure = rest.strip_prefix(['*', '.']).unwrap_or(rest);
    let read = time::bsd(unsure, now, offset).or_else(|| time::iso(unsure, offset));
    let Some((time, read)) = read else {
        if has_priority && let Some(tagged) = cisco(rest, found).or_else(|| tag(rest, found)) {
            return tagged;
        }
        return found;
    };
    found.time = Some(time);
    rest = unsure[read..].trim_start_matches(' ');
    if let Some(after) = rest.strip_prefix("UTC").or_else(|| rest.strip_prefix("GMT")) {
        found.time = Some(time + i64::from(offset) * 1_000_000);
        rest = after;
    }
    rest = rest.strip_prefix(':').unwrap_or(rest).trim_start_matches(' ');
    found.message = rest;
    if let Some(done) = cisco(rest, found) {
        return done;
    }
    if found.host.is_empty()
        && let Some((host, after)) = word(rest)
        && is_name(host)
    {
        found.host = host;
        found.message = after.trim_start_matches(' ');
        // An ASA writes `host : %ASA-6-302013: …`.
        let after = found.message.strip_prefix(": ").unwrap_or(found.message);
        if let Some(done) = cisco(after, found) {
            return done;
        }
    }
    tag(found.message, found).unwrap_or(found)
}

/// A host name or an address, and not a tag.
fn is_name(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%' | b'/');
    !word.is_empty() && word.len() <= 255 && !word.ends_with(':') && word.bytes().all(plain)
}

/// `%FACILITY-SEVERITY-MNEMONIC: message`.
fn cisco<'a>(text: &'a str, found: Syslog<'a>) -> Option<Syslog<'a>> {
    let (mark, message) = text.strip_prefix('%')?.split_once(':')?;
    let (facility, id) = mark.rsplit_once('-')?;
    let (facility, severity) = facility.rsplit_once('-')?;
    let &[digit @ b'0'..=b'7'] = severity.as_bytes() else { return None };
    let plain =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    (plain(facility) && plain(id)).then(|| Syslog {
        cisco: facility,
        cisco_severity: Some(digit - b'0'),
        message_id: id,
        message: message.trim_start_matches(' '),
        ..found
    })
}

/// `TAG[PID]: message`, the tag at most 64 bytes (§4.1.3 says 32, programs say otherwise).
fn tag<'a>(text: &'a str, found: Syslog<'a>) -> Option<Syslog<'a>> {
    let bytes = text.as_bytes();
    let end = bytes.iter().take(65).position(|b| matches!(b, b'[' | b':' | b' '))?;
    if end == 0 || !bytes[..end].iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'{' | b'=' | b'<')) {
        return None;
    }
    let (app, rest) = text.split_at(end);
    // Heads of other formats, which are read later.
    if matches!(app, "CEF" | "LEEF" | "@cee") {
        return None;
    }
    let (process, rest) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (process, rest) = inner.split_once(']')?;
            (process, rest)
        }
        None => ("", rest),
    };
    let process = if process.len() <= 32 { process } else { return None };
    let rest = rest.strip_prefix(':')?;
    Some(Syslog { app, process, message: rest.strip_prefix(' ').unwrap_or(rest), ..found })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-23T19:30:42Z
    const NOW: i64 = 1_795_462_242_000_000;

    fn read(line: &str) -> Syslog<'_> {
        parse(line, NOW, 0)
    }

    #[test]
    fn the_examples_of_rfc_5424() {
        let found = read(
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
        );
        assert_eq!((found.priority, found.version, found.time), (Some(34), 1, Some(1_065_910_455_003_000)));
        assert_eq!(
            (found.host, found.app, found.process, found.message_id),
            ("mymachine.example.com", "su", "", "ID47")
        );
        assert_eq!(found.message, "'su root' failed for lonvick on /dev/pts/8");
        let found = read(
            r#"<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App \"x\" \] \\"][p@1 class="high"] BOM"#,
        );
        let mut pairs = Vec::new();
        elements(found.data, &mut String::new(), |id, name, value| pairs.push(format!("{id} {name} {value}")));
        assert_eq!(
            pairs,
            ["exampleSDID@32473 iut 3", r#"exampleSDID@32473 eventSource App "x" ] \"#, "p@1 class high"]
        );
        assert_eq!(found.message, "BOM");
        let found = read("<0>1 - - - - - -");
        assert_eq!((found.time, found.host, found.data, found.message), (None, "", "", ""));
    }

    #[test]
    fn rfc_3164_and_its_mutations() {
        for (line, host, app, process, message) in [
            ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", "mymachine", "su", "", "'su root' failed"),
            ("<13>Nov  3 19:30:42 web-1 sshd[4711]: Accepted", "web-1", "sshd", "4711", "Accepted"),
            ("Nov  3 19:30:42 web-1 sshd[4711]: Accepted", "web-1", "sshd", "4711", "Accepted"),
            ("<13>2026-11-23T19:30:42.5+01:00 web-1 app: x", "web-1", "app", "", "x"),
            ("2026-11-23 19:30:42 web-1 app: x", "web-1", "app", "", "x"),
            ("<13>Nov  3 19:30:42 su: no host", "", "su", "", "no host"),
            ("<13>su[1]: no time", "", "su", "1", "no time"),
            ("<13>just words here", "", "", "", "just words here"),
            ("no head at all", "", "", "", "no head at all"),
            ("<999>out of range", "", "", "", "<999>out of range"),
            ("<13>Nov  3 19:30:42 fe80::1 postfix/smtpd[9]: x", "fe80::1", "postfix/smtpd", "9", "x"),
            ("<13>Nov  3 19:30:42 fw {\"a\":1}", "fw", "", "", "{\"a\":1}"),
        ] {
            let found = read(line);
            assert_eq!((found.host, found.app, found.process, found.message), (host, app, process, message), "{line}");
        }
    }

    #[test]
    fn cisco_in_its_forms() {
        for (line, host, facility, id) in [
            ("<189>123: *Nov 23 19:30:42.123 UTC: %SYS-5-CONFIG_I: Configured", "", "SYS", "CONFIG_I"),
            ("<189>45: core-1: Nov 23 19:30:42: %LINK-3-UPDOWN: Interface", "core-1", "LINK", "UPDOWN"),
            ("<166>Oct 11 2026 22:14:15 asa1 : %ASA-6-302013: Built", "asa1", "ASA", "302013"),
            ("<166>%ASA-6-302013: Built", "", "ASA", "302013"),
            ("<187>: 2026 Nov 23 19:30:42 UTC: x", "", "", ""),
        ] {
            let found = read(line);
            assert_eq!((found.host, found.cisco, found.message_id), (host, facility, id), "{line}");
        }
        assert_eq!(read("<189>123: *Nov 23 19:30:42.123 UTC: %SYS-5-CONFIG_I: Configured").time, Some(NOW + 123_000));
    }

    proptest! {
        #[test]
        fn any_line_is_answered(line in "\\PC{0,120}") {
            let found = read(&line);
            prop_assert!(line.ends_with(found.message));
            elements(found.data, &mut String::new(), |_, _, _| {});
        }

        #[test]
        fn mutilated_lines_are_answered(cut in 0..150usize, insert in "[\\[\\]\"\\\\=<> :%*0-9-]{0,8}", which in 0..3usize) {
            let lines = [
                r#"<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [ex@3 iut="3" e="A\"x"][p@1 c="h"] message"#,
                "<189>45: core-1: *Nov 23 19:30:42.1 UTC: %LINK-3-UPDOWN: Interface",
                "<13>Nov  3 19:30:42 web-1 sshd[4711]: Accepted",
            ];
            let mut line = lines[which].to_owned();
            line.insert_str(cut.min(line.len()), &insert);
            let found = read(&line);
            elements(found.data, &mut String::new(), |_, _, _| {});
            elements(&insert, &mut String::new(), |_, _, _| {});
            prop_assert!(line.ends_with(found.message));
        }
    }
}
