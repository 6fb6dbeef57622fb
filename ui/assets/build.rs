//! Puts the built pages into the program: every file of each face in `$SENT_UI_DIST` (default `$SENT_CACHE/ui/dist`, then
//! `~/.cache/sent/ui/dist`) with its compressed twins, as tables that the crate includes. Where the pages were not
//! built, a single page says so and how; the program still compiles and serves its routes.

use sha2::{Digest, Sha256};
use std::{
    env,
    fs::{self, File},
    io::{Error, Result},
    path::{Path, PathBuf},
};

/// Shown where there is nothing else to show.
const ABSENT: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>SENT</title>
<h1>The pages were not built</h1>
<p>The program runs and its routes answer, but it was compiled without its pages. Run <code>ui/build.sh</code>, then
compile it again.</p>
</html>
";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["SENT_UI_DIST", "SENT_CACHE", "HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo sets OUT_DIR"))?);
    let dist = dist();
    if let Some(built) = dist.as_ref().and_then(|dist| File::open(dist.with_file_name("lock")).ok()) {
        // Pages that are being built now are waited for.
        built.lock()?;
    }
    match &dist {
        // The folder itself, because files that come are as much a change as files that change. A folder that is not
        // there yet is watched too: cargo runs this again once it appears.
        Some(dist) => println!("cargo::rerun-if-changed={}", dist.display()),
        None => println!("cargo::warning=neither SENT_UI_DIST, SENT_CACHE nor HOME is set: compiled without pages"),
    }
    for face in ["box", "fleet"] {
        let mut rows = Vec::new();
        if let Some(folder) = dist.as_ref().map(|dist| dist.join(face)).filter(|it| it.join("index.html").is_file()) {
            collect(&folder, &folder, &out.join(face), &mut rows)?;
        }
        if rows.is_empty() {
            let page = out.join("absent.html");
            write(&page, ABSENT.as_bytes())?;
            rows.push(row("index.html", &page, &out.join(face))?);
        }
        rows.sort();
        write(&out.join(format!("{face}.rs")), format!("&[\n{}]\n", rows.concat()).as_bytes())?;
    }
    Ok(())
}

fn dist() -> Option<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("SENT_UI_DIST")
        .or_else(|| from("SENT_CACHE").map(|cache| cache.join("ui/dist")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/sent/ui/dist")))
}

fn collect(root: &Path, folder: &Path, kept: &Path, rows: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, kept, rows)?;
            continue;
        }
        let compressed = path.extension().is_some_and(|extension| extension == "br" || extension == "gz");
        if compressed {
            continue;
        }
        let name = path.strip_prefix(root).map_err(Error::other)?;
        let name = name.to_str().ok_or_else(|| Error::other("a page's file has a name that is not UTF-8"))?;
        rows.push(row(&name.replace('\\', "/"), &path, kept)?);
    }
    Ok(())
}

/// One entry of a table; its files are copied into the folder `kept`.
fn row(name: &str, path: &Path, folder: &Path) -> Result<String> {
    let bytes = fs::read(path)?;
    let kept = keep(folder, name, &bytes)?;
    let tag: String = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let twin = |suffix: &str| {
        let mut twin = path.as_os_str().to_owned();
        twin.push(suffix);
        let twin = PathBuf::from(twin);
        if !twin.is_file() {
            return Ok::<_, Error>("None".to_owned());
        }
        let kept = keep(folder, &format!("{name}{suffix}"), &fs::read(&twin)?)?;
        Ok(format!("Some(include_bytes!({kept:?}))"))
    };
    Ok(format!(
        "    File {{ name: {name:?}, tag: {tag:?}, plain: include_bytes!({kept:?}), brotli: {}, gzip: {} }},\n",
        twin(".br")?,
        twin(".gz")?,
    ))
}

/// A copy of our own: the pages may be built anew while this crate compiles.
fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    write(&path, bytes)?;
    Ok(path)
}

#[expect(clippy::disallowed_methods, reason = "cargo's own output folder: a build that stops in the middle runs again")]
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)
}
