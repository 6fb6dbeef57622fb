//! Finds the faces of Inter that reports are set in. They become part of the program: a box prints the same everywhere.

use std::{env, error::Error, path::Path};

/// Where Debian's `fonts-inter` puts them; `SENT_FONTS` names another folder.
const FOLDER: &str = "/usr/share/fonts/opentype/inter";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=SENT_FONTS");
    println!("cargo:rerun-if-changed=build.rs");
    let folder = env::var("SENT_FONTS").unwrap_or_else(|_| FOLDER.to_owned());
    for face in ["Regular", "SemiBold"] {
        let file = Path::new(&folder).join(format!("Inter-{face}.otf"));
        if !file.is_file() {
            return Err(format!("{} is missing: install fonts-inter, or set SENT_FONTS", file.display()).into());
        }
        println!("cargo:rerun-if-changed={}", file.display());
        println!("cargo:rustc-env=SENT_FONT_{}={}", face.to_uppercase(), file.display());
    }
    Ok(())
}
