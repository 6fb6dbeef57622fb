//! Lists the numbered migrations of the box, so that adding one is adding a file.
use std::{env, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../migrations");
    let mut code = String::new();
    for (folder, name) in [("box", "BOX"), ("telemetry", "TELEMETRY")] {
        let folder = root.join(folder);
        println!("cargo:rerun-if-changed={}", folder.display());
        let mut files: Vec<_> =
            fs::read_dir(&folder).map(|d| d.filter_map(|e| e.ok().map(|e| e.path())).collect()).unwrap_or_default();
        files.retain(|f| {
            f.file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.ends_with(".sql") && n.as_bytes().iter().take(4).all(u8::is_ascii_digit))
        });
        files.sort();
        writeln!(code, "/// Numbered migrations: file name and SQL.\npub const {name}: &[(&str, &str)] = &[")?;
        for file in files {
            println!("cargo:rerun-if-changed={}", file.display());
            let stem = file.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            writeln!(code, "    ({stem:?}, include_str!({:?})),", file.canonicalize()?)?;
        }
        writeln!(code, "];")?;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo's own output folder: a build that stops in the middle runs again"
    )]
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.rs"), code)?;
    Ok(())
}
