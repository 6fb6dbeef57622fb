//! Reference pages in Markdown, made from the real lists: what a program can be told, and what its port answers. A test of each
//! program holds the page that is kept against the one that is made.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::route::{Access, Route};

/// A page of routes: method, path, the right each asks for, and whether it changes something.
pub fn routes_page(title: &str, about: &str, routes: &[Route]) -> String {
    let mut rows: Vec<_> = routes.iter().collect();
    rows.sort_by_key(|route| (route.path, route.method.as_str()));
    let mut page = format!("# {title}\n\n{about}\n\n| method | path | right | changes |\n| --- | --- | --- | --- |\n");
    for route in rows {
        let access = match route.access {
            Access::Public => "anybody".to_owned(),
            Access::Session => "whoever is logged in".to_owned(),
            Access::Right(right) => format!("`{right}`"),
        };
        let changes = if route.changes { "yes" } else { "" };
        let _ = writeln!(page, "| {} | `{}` | {access} | {changes} |", route.method, route.path);
    }
    page
}

/// A page of a program's verbs with what each takes.
pub fn verbs_page(about: &str, mut program: Command) -> String {
    program.build();
    let mut page = format!("# Verbs of `{}`\n\n{about}\n", program.get_name());
    let (name, globals) = (program.get_name().to_owned(), arguments(&program, true));
    if !globals.is_empty() {
        page.push_str("\nBefore or behind every verb:\n\n");
        table(&mut page, &globals);
    }
    let own = arguments(&program, false);
    if !own.is_empty() {
        page.push_str("\nWithout a verb:\n\n");
        table(&mut page, &own);
    }
    for verb in verbs(&program) {
        write_verb(&mut page, &name, verb);
    }
    page
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
}

fn write_verb(page: &mut String, before: &str, verb: &Command) {
    let name = format!("{before} {}", verb.get_name());
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let mut inner = verbs(verb).peekable();
    if inner.peek().is_some() {
        let _ = write!(page, "\n## `{name} …`\n\n{about}\n");
        for verb in inner {
            write_verb(page, &name, verb);
        }
        return;
    }
    let own = arguments(verb, false);
    let places: String = own.iter().filter(|arg| arg.is_positional()).map(|arg| format!(" {}", called(arg))).collect();
    let _ = write!(page, "\n### `{name}{places}`\n\n{about}\n");
    if !own.is_empty() {
        page.push('\n');
        table(page, &own);
    }
}

fn arguments(command: &Command, global: bool) -> Vec<&Arg> {
    let told = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    command.get_arguments().filter(told).filter(|arg| arg.is_global_set() == global).collect()
}

/// How it is written: `--file FILE`, `[FILE]`.
fn called(arg: &Arg) -> String {
    let values: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    let values = if arg.get_action().takes_values() { values.join(" ") } else { String::new() };
    match arg.get_long() {
        Some(long) if values.is_empty() => format!("--{long}"),
        Some(long) => format!("--{long} {values}"),
        None if arg.is_required_set() => values,
        None => format!("[{values}]"),
    }
}

fn table(page: &mut String, arguments: &[&Arg]) {
    page.push_str("| argument | default | what it is |\n| --- | --- | --- |\n");
    for arg in arguments {
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = match defaults.as_slice() {
            _ if !arg.get_action().takes_values() => String::new(),
            [] => if arg.is_required_set() { "must be given" } else { "" }.to_owned(),
            given => format!("`{}`", given.join(" ")),
        };
        let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        let choices = arg.get_possible_values();
        if arg.get_action().takes_values() && !choices.is_empty() {
            let names: Vec<String> = choices.iter().map(|choice| format!("`{}`", choice.get_name())).collect();
            let _ = write!(help, " ({})", names.join(", "));
        }
        let _ = writeln!(page, "| `{}` | {default} | {help} |", called(arg));
    }
}

/// What is wrong with a page that is kept at `path`, if it is not `page`. With `SENT_WRITE_REFERENCE` set it is written instead.
pub fn stale(path: &std::path::Path, page: &str) -> Option<String> {
    if std::env::var_os("SENT_WRITE_REFERENCE").is_some() {
        return std::fs::File::create(path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, page.as_bytes()))
            .err()
            .map(|e| format!("{}: {e}", path.display()));
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    (there != page)
        .then(|| format!("{} is not what the program does: run its tests with SENT_WRITE_REFERENCE=1", path.display()))
}
