//! A real browser: Debian's chromium, driven by WebDriver.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use fantoccini::{Client, ClientBuilder, Locator, key::Key, wd::WebDriverCompatibleCommand};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    program::{Launch, Program, cache, free_port},
    until,
};

/// What the browser is started with: no sandbox for root, and nothing it would do on its own.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Width and height of a desk and of a pocket.
pub const SIZES: [(&str, u32, u32); 2] = [("wide", 1440, 900), ("narrow", 390, 844)];
/// Themes of the pages.
pub const THEMES: [&str; 2] = ["light", "dark"];

/// chromedriver's own command for the browser's console.
#[derive(Clone, Copy, Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

#[derive(serde::Deserialize)]
struct LogEntry {
    level: String,
    message: String,
}

/// A browser window.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _driver: Program,
    _profile: TempDir,
}

impl Browser {
    /// Opens one.
    pub async fn open() -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("sent-browser-").tempdir()?;
        let port = free_port()?;
        let driver = Launch::new("chromedriver")
            .arguments([format!("--port={port}")])
            .start(&profile.path().join("driver.log"))?;
        until("the browser's driver listens", 30, || async move {
            TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Some(()))
        })
        .await?;
        let mut flags: Vec<String> = FLAGS.iter().map(|f| (*f).to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        flags.push("--window-size=1440,900".to_owned());
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": flags }));
        capabilities.insert("goog:loggingPrefs".into(), json!({ "browser": "ALL" }));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("starting the browser")?;
        Ok(Self { client, _driver: driver, _profile: profile })
    }

    /// The WebDriver session.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Goes to a page.
    pub async fn go(&self, url: &str) -> Result<()> {
        self.client.goto(url).await.with_context(|| format!("going to {url}"))
    }

    /// Waits until an element is there.
    pub async fn find(&self, css: &str) -> Result<fantoccini::elements::Element> {
        self.client
            .wait()
            .at_most(Duration::from_secs(20))
            .for_element(Locator::Css(css))
            .await
            .with_context(|| format!("waiting for {css}"))
    }

    /// Waits until the page's text holds all of these.
    pub async fn reads(&self, texts: &[&str]) -> Result<()> {
        let body = std::sync::Mutex::new(String::new());
        let found = until("the page shows it", 20, || async {
            let text = self.text().await?;
            let whole = texts.iter().all(|t| text.contains(t));
            *body.lock().expect("nothing panics while it is held") = text;
            Ok(whole.then_some(()))
        })
        .await;
        found.with_context(|| {
            format!("looking for {texts:?} in: {}", body.lock().expect("nothing panics while it is held"))
        })
    }

    /// All text that can be seen.
    pub async fn text(&self) -> Result<String> {
        let value = self.client.execute("return document.body.innerText", Vec::new()).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Types into whatever has the focus.
    pub async fn keys(&self, text: &str) -> Result<()> {
        let active = self.client.active_element().await?;
        Ok(active.send_keys(text).await?)
    }

    /// Presses one key.
    pub async fn press(&self, key: Key) -> Result<()> {
        self.keys(&String::from(char::from(key))).await
    }

    /// Errors the page and the browser wrote to the console since the last look.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.client.issue_cmd(ConsoleLog).await?;
        let entries: Vec<LogEntry> = serde_json::from_value(log)?;
        Ok(entries.into_iter().filter(|e| e.level == "SEVERE").map(|e| e.message).collect())
    }

    /// Sets the window's size and the theme.
    pub async fn dress(&self, width: u32, height: u32, theme: &str) -> Result<()> {
        self.client.set_window_size(width, height).await?;
        let script = "localStorage.setItem('theme', arguments[0]); window.dispatchEvent(new Event('sent-theme'))";
        self.client.execute(script, vec![json!(theme)]).await?;
        Ok(())
    }

    /// Keeps a picture of the page under `$SENT_CACHE/screenshots`.
    pub async fn picture(&self, name: &str) -> Result<PathBuf> {
        let folder = cache().join("screenshots");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.png"));
        let bytes = self.client.screenshot().await?;
        std::io::Write::write_all(&mut std::fs::File::create(&path)?, &bytes)?;
        Ok(path)
    }

    /// Keeps pictures of the page in both sizes and both themes, and checks that nothing sticks out sideways.
    pub async fn pictures(&self, name: &str) -> Result<()> {
        for (size, width, height) in SIZES {
            for theme in THEMES {
                self.dress(width, height, theme).await?;
                self.picture(&format!("{name}-{size}-{theme}")).await?;
            }
            let sticks = self
                .client
                .execute(
                    "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
                    Vec::new(),
                )
                .await?;
            anyhow::ensure!(sticks.as_i64().unwrap_or(0) <= 1, "{name} is {sticks} px wider than a {size} screen");
        }
        self.dress(SIZES[0].1, SIZES[0].2, THEMES[0]).await
    }

    /// Closes it.
    pub async fn close(self) -> Result<()> {
        Ok(self.client.clone().close().await?)
    }
}
