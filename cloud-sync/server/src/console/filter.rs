//! What callers type: names, ids in paths, the filter of the list of boxes.

use http::Uri;
use sent_core::Problem;
use serde::Deserialize;
use uuid::Uuid;

/// A name a person gave: trimmed, neither empty nor endless, without control characters.
pub fn name(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::field(field, "this may not be empty"));
    }
    if text.chars().count() > 200 {
        return Err(Problem::field(field, "at most 200 characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::field(field, "control characters are not allowed"));
    }
    Ok(text.to_owned())
}

/// A currency code: ISO or free, up to 24 characters.
pub fn currency(field: &str, text: &str) -> Result<String, Problem> {
    let text = name(field, text)?;
    if text.len() > 24 || !text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        return Err(Problem::field(field, "a currency is up to 24 letters and digits, EUR for instance"));
    }
    Ok(text)
}

/// The list's query string; a bulk action hands it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Boxes {
    /// Level.
    pub status: Option<String>,
    /// Organisation.
    pub organization: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Tag.
    pub tag: Option<String>,
    /// Part of the name, organisation, branch or cause.
    pub q: Option<String>,
    /// Cursor: id of the last row of the page before.
    pub after: Option<Uuid>,
    /// Rows.
    pub limit: Option<i64>,
}

impl Boxes {
    /// Out of a query string, with or without its question mark.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let query = query.trim_start_matches('?');
        let uri: Uri = format!("/?{query}").parse().map_err(|_| Problem::field("filter", "this is no query string"))?;
        axum::extract::Query::<Self>::try_from_uri(&uri)
            .map(|q| q.0)
            .map_err(|e| Problem::field("filter", e.to_string()))
    }

    /// The level, if one is asked for. An empty one is none.
    pub fn level(&self) -> Option<String> {
        given(self.status.as_ref())
    }

    /// The organisation, by id.
    pub fn organization(&self) -> Result<Option<Uuid>, Problem> {
        identified("organization", self.organization.as_ref())
    }

    /// The branch, by id.
    pub fn branch(&self) -> Result<Option<Uuid>, Problem> {
        identified("branch", self.branch.as_ref())
    }

    /// The tag.
    pub fn tag(&self) -> Option<String> {
        given(self.tag.as_ref())
    }

    /// The text looked for.
    pub fn text(&self) -> Option<String> {
        given(self.q.as_ref()).map(|q| q.trim().to_lowercase())
    }
}

fn identified(field: &str, text: Option<&String>) -> Result<Option<Uuid>, Problem> {
    given(text).map(|id| id.parse().map_err(|_| Problem::field(field, "this is no id"))).transpose()
}

fn given(text: Option<&String>) -> Option<String> {
    text.filter(|t| !t.trim().is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_is_the_lists_query_string() {
        let filter = Boxes::parse("?status=bad&q=Caf%C3%A9&tag=").unwrap();
        assert_eq!(filter.level().as_deref(), Some("bad"));
        assert_eq!(filter.text().as_deref(), Some("café"));
        assert_eq!(filter.tag(), None);
        assert_eq!(Boxes::parse("").unwrap(), Boxes::default());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = Boxes::parse(&text);
            let _ = name("name", &text);
            let _ = currency("currency", &text);
        }
    }
}
