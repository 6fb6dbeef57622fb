//! Pages of lists.

use sent_contract::Page;

/// Rows of a page when nobody says how many.
const USUAL: i64 = 50;
/// Most rows of a page.
const MOST: i64 = 500;

/// How many rows to answer.
pub fn limit(asked: Option<i64>) -> i64 {
    asked.unwrap_or(USUAL).clamp(1, MOST)
}

/// Makes a page of rows that were asked for with one more than `limit`; that one tells that there is a next page.
pub fn page<T>(mut items: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Page<T> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > most;
    items.truncate(most);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next, total: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_row_is_another_page() {
        let whole = page(vec![1, 2], 2, i32::to_string);
        assert_eq!((whole.items, whole.next), (vec![1, 2], None));
        let part = page(vec![1, 2, 3], 2, i32::to_string);
        assert_eq!((part.items, part.next), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(limit(Some(-5)), 1);
        assert_eq!(limit(Some(9_999)), MOST);
    }
}
