//! A QR code, drawn as one SVG path.

use qrcodegen::{QrCode, QrCodeEcc};
use std::fmt::Write;
use yew::prelude::*;

/// The quiet zone that ISO/IEC 18004 asks for, in modules.
const QUIET: i32 = 4;

/// Properties of [`Qr`].
#[derive(Properties, PartialEq)]
pub struct QrProps {
    /// What it holds.
    pub text: AttrValue,
    /// What it is, for those who do not see it.
    pub label: AttrValue,
}

/// A QR code. A text too long for one (over 2,331 bytes) draws nothing: the same text stands beside it for typing.
#[component]
pub fn Qr(props: &QrProps) -> Html {
    let Ok(code) = QrCode::encode_text(&props.text, QrCodeEcc::Medium) else { return Html::default() };
    let size = code.size() + 2 * QUIET;
    html! {
        <svg class="qr" viewBox={format!("0 0 {size} {size}")} role="img" aria-label={props.label.clone()} shape-rendering="crispEdges">
            <path d={path(&code)} />
        </svg>
    }
}

fn path(code: &QrCode) -> String {
    let mut path = String::new();
    for y in 0..code.size() {
        for x in 0..code.size() {
            if code.get_module(x, y) {
                // Writing to a string cannot fail.
                let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dark_module_is_drawn_once() {
        let code = QrCode::encode_text("otpauth://totp/SENT:a@b?secret=ABC", QrCodeEcc::Medium).expect("short enough");
        let dark = (0..code.size())
            .flat_map(|y| (0..code.size()).map(move |x| (x, y)))
            .filter(|&(x, y)| code.get_module(x, y));
        assert_eq!(path(&code).matches('M').count(), dark.count());
    }
}
