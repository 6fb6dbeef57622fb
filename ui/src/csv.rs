//! Writing what is shown as CSV (RFC 4180), and handing files to the person.

use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

/// One line, quoted where it must be. A cell that a spreadsheet would take for a formula gets an apostrophe before it, unless
/// it is a plain number.
pub fn line(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::new();
    for (i, cell) in cells.into_iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        let cell = cell.as_ref();
        let risky = cell.starts_with(['=', '+', '-', '@', '\t']) && cell.parse::<f64>().is_err();
        if risky || cell.contains(['"', ',', '\n', '\r']) {
            text.push('"');
            if risky {
                text.push('\'');
            }
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    text.push_str("\r\n");
    text
}

/// Offers a text as a download. The mark at its beginning tells spreadsheets that it is UTF-8.
pub fn download(name: &str, text: &str) {
    hand_over(name, "text/csv;charset=utf-8", format!("\u{feff}{text}").as_bytes());
}

/// Offers bytes as a download. A browser that refuses does nothing, as if the person had cancelled.
pub fn hand_over(name: &str, kind: &str, bytes: &[u8]) {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(bytes));
    if let Ok(blob) = Blob::new_with_u8_array_sequence_and_options(&parts, &options) {
        offer(name, &blob);
    }
}

/// Offers a file that the browser has as a download.
pub fn offer(name: &str, blob: &Blob) {
    let offer = || -> Result<(), JsValue> {
        let window = web_sys::window().ok_or(JsValue::NULL)?;
        let document = window.document().ok_or(JsValue::NULL)?;
        let url = Url::create_object_url_with_blob(blob)?;
        let anchor: HtmlAnchorElement = document.create_element("a")?.unchecked_into();
        anchor.set_href(&url);
        anchor.set_download(name);
        anchor.click();
        Url::revoke_object_url(&url)
    };
    let _ = offer();
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(line(["a", "b,c", "say \"so\"", "-1.50"]), "a,\"b,c\",\"say \"\"so\"\"\",-1.50\r\n");
    }

    #[test]
    fn formulas_are_disarmed() {
        assert_eq!(line(["=1+1", "@x"]), "\"'=1+1\",\"'@x\"\r\n");
    }
}
