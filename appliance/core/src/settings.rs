//! Settings are one TOML file. Unknown keys are refused, every key is documented in the example file, and the example file
//! is the reference page: [`reference`] renders it, and a test holds it against the defaults.

use std::path::Path;

use serde::de::DeserializeOwned;

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse, or has a key that does not exist.
    #[error("the settings file {path} is wrong: {message}")]
    Parse {
        /// Which file.
        path: String,
        /// Where and why, from the parser.
        message: String,
    },
}

/// Reads a settings file; `T` should `deny_unknown_fields` and default every field.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.display().to_string(), source })?;
    parse(&text, &path.display().to_string())
}

/// Parses settings from text; `name` is what an error calls it.
pub fn parse<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|e| SettingsError::Parse { path: name.to_owned(), message: e.to_string() })
}

/// One documented key of an example file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `gateway.listen`.
    pub key: String,
    /// Default, as TOML.
    pub default: String,
    /// The comment above it.
    pub help: String,
}

/// The keys of an example file with the comments above them. A key without a comment has an empty help, which a test refuses.
pub fn reference(example: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut section = String::new();
    let mut help: Vec<&str> = Vec::new();
    for line in example.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.to_owned();
            help.clear();
        } else if let Some(comment) = line.strip_prefix('#') {
            help.push(comment.trim());
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim();
            let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            keys.push(Key { key, default: value.trim().to_owned(), help: help.join(" ") });
            help.clear();
        } else if line.is_empty() {
            help.clear();
        }
    }
    keys
}

/// The reference page in Markdown, made from the example file.
pub fn reference_page(title: &str, example: &str) -> String {
    let mut page = format!("# {title}\n\n| key | default | what it does |\n| --- | --- | --- |\n");
    for k in reference(example) {
        page.push_str(&format!("| `{}` | `{}` | {} |\n", k.key, k.default, k.help.replace('|', "\\|")));
    }
    page
}
