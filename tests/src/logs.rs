//! A box that takes logs: set up, asked, and sent to.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use sent_contract::{
    Page,
    identity::{CreatedToken, NewToken},
    radar::{Alert, Found, RadarStatus},
};

use crate::{Appliance, Context as _, Face, Result, ensure, until};

/// Who owns the box.
const OWNER: (&str, &str) = ("ada@northwind.example", "tea in the afternoon");

/// Writes one of a box's own rules.
pub fn write_rule(appliance: &Appliance, name: &str, text: &str) -> Result<()> {
    write(&rules_of(appliance).join(name), text)
}

/// A pack of rules as it is installed: a tar archive of files (name and text).
pub fn pack(files: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    Ok(archive.into_inner()?)
}

/// A box with its folder, which goes when it does.
#[derive(Debug)]
pub struct Logs {
    /// The box.
    pub appliance: Appliance,
    /// Its owner.
    pub face: Face,
    folder: tempfile::TempDir,
}

impl Logs {
    /// A box with these settings and rules (file name and text), whose worker answers.
    pub async fn start(settings: &str, rules: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sent-").tempdir()?;
        let mut appliance = Appliance::new(folder.path().join("box"), folder.path().join("box.log"))?;
        appliance.configure(settings)?;
        let init = ["init", "--organisation", "Northwind", "--currency", "EUR", "--email", OWNER.0, "--password-stdin"];
        let (status, _, complaint) = appliance.verb(&init)?.finish(OWNER.1.as_bytes())?;
        ensure!(status.success(), "{complaint}");
        for (name, text) in rules {
            write(&rules_of(&appliance).join(name), text)?;
        }
        appliance.start().await?;
        let face = appliance.login(OWNER.0, OWNER.1).await?;
        let logs = Self { appliance, face, folder };
        logs.ready().await?;
        Ok(logs)
    }

    /// Where the test may put files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes one of the box's own rules.
    pub fn write_rule(&self, name: &str, text: &str) -> Result<()> {
        write_rule(&self.appliance, name, text)
    }

    /// Waits until the worker answers and its ways in are open.
    pub async fn ready(&self) -> Result<RadarStatus> {
        until("the worker takes logs", 60, || async {
            let status = self.status().await?;
            Ok((!status.ways.is_empty()).then_some(status))
        })
        .await
    }

    /// How it is doing.
    pub async fn status(&self) -> Result<RadarStatus> {
        self.face.get("/api/radar/status").await
    }

    /// Address of a way in.
    pub async fn way(&self, name: &str) -> Result<String> {
        let status = self.ready().await?;
        let way = status.ways.into_iter().find(|way| way.name == name);
        Ok(way.with_context(|| format!("{name} is not open"))?.at)
    }

    /// A token that may send logs and nothing else.
    pub async fn token(&self) -> Result<String> {
        let new = NewToken { name: "agents".to_owned(), rights: vec!["radar.intake".to_owned()], days: None };
        let made: CreatedToken = self.face.post("/api/tokens", &new).await?;
        Ok(made.secret)
    }

    /// Waits until so many lines match a query; answers them, at most a thousand.
    pub async fn lines(&self, query: &str, wanted: usize) -> Result<Found> {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        until("the lines can be found", 60, || async {
            let found: Found = self.face.get(&format!("/api/radar/search?most=1000&q={query}")).await?;
            Ok((found.items.len() >= wanted).then_some(found))
        })
        .await
    }

    /// The alerts of a rule.
    pub async fn alerts(&self, rule: &str) -> Result<Vec<Alert>> {
        let page: Page<Alert> = self.face.get(&format!("/api/radar/alerts?most=500&rule={rule}")).await?;
        Ok(page.items)
    }

    /// Process id of the worker.
    pub fn worker(&self) -> Result<Option<i32>> {
        let data = self.appliance.data().display().to_string();
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            let Ok(id) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            // Processes come and go while one looks.
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("--service=radar") && line.split('\0').any(|argument| argument == data) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

fn rules_of(appliance: &Appliance) -> PathBuf {
    appliance.data().join("radar/rules")
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Whole at once: the box may look at any moment.
    let fresh = path.with_extension("new");
    std::fs::File::create(&fresh)?.write_all(text.as_bytes())?;
    Ok(std::fs::rename(fresh, path)?)
}
