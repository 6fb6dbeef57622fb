//! A Prometheus exporter with as many series as a test wants, whose values are whole numbers.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// What every metric's name begins with.
pub const PREFIX: &str = "bench_";

/// The exporter.
#[derive(Debug)]
pub struct Exporter {
    url: String,
    pages: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Serves pages of `series` values, of which each page has new ones.
    pub async fn start(series: usize) -> Result<Self> {
        Self::with(series, |n, round| ((n as u64 * 31 + round * 17) % 1_000) as f64).await
    }

    /// Serves pages of `series` values, each by its number and the page's.
    pub async fn with(series: usize, value: fn(usize, u64) -> f64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/metrics", listener.local_addr()?);
        let pages = Arc::new(AtomicU64::new(0));
        let served = pages.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                let served = served.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    // One request a connection; it fits one read.
                    if !matches!(stream.read(&mut request).await, Ok(n) if n > 0) {
                        return;
                    }
                    let page = page(series, served.fetch_add(1, Ordering::Relaxed), value);
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                        page.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(page.as_bytes()).await;
                });
            }
        });
        Ok(Self { url, pages, task })
    }

    /// Address of its page.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Pages it served.
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn page(series: usize, round: u64, value: fn(usize, u64) -> f64) -> String {
    let mut page = format!("# TYPE {PREFIX}value gauge\n");
    for n in 0..series {
        let _ = writeln!(page, "{PREFIX}value{{n=\"{n}\"}} {}", value(n, round));
    }
    page
}
