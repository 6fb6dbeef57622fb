//! A network in between: a TCP relay that can be cut, slowed, torn in the middle of a request, and healed.
//!
//! It stands in user space, so a fault is exact and needs no rights: where a connection tears is drawn from a seed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Clear,
    /// Every connection is broken, and every new one.
    Cut,
    /// Connections are taken, and nothing comes through.
    Silent,
    /// Everything passes, each piece so much later.
    Slow(Duration),
    /// Each connection breaks after at most so many bytes towards the server.
    Torn(u32),
}

/// The relay.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    targets: watch::Sender<Vec<SocketAddr>>,
    weather: watch::Sender<Weather>,
    bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// In front of nothing yet.
    pub async fn start(seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::Clear);
        let (targets, aims) = watch::channel(Vec::new());
        let bytes = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, aims, seen, bytes.clone(), seed));
        Ok(Self { address, targets, weather, bytes, task })
    }

    /// In front of these servers from the next connection on: connections go to them in turn, past those that do not
    /// answer.
    pub fn aim(&self, ports: impl IntoIterator<Item = u16>) {
        self.targets.send_replace(ports.into_iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect());
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather, for open connections too.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Bytes that passed towards the servers.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    targets: watch::Receiver<Vec<SocketAddr>>,
    weather: watch::Receiver<Weather>,
    bytes: Arc<AtomicU64>,
    seed: u64,
) {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut seeds = StdRng::seed_from_u64(seed);
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *weather.borrow() == Weather::Cut {
            continue;
        }
        let (targets, turn, bytes, weather) = (targets.borrow().clone(), turn.clone(), bytes.clone(), weather.clone());
        let dice = StdRng::seed_from_u64(seeds.next_u64());
        tokio::spawn(async move {
            let Some(server) = connect(&targets, &turn).await else { return };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let back = watch_and_copy(from_server, to_client, weather.clone(), None, None);
            let forth = watch_and_copy(from_client, to_server, weather, Some(bytes), Some(dice));
            // One side that breaks takes the other with it; one that ends in order only ends its own direction.
            tokio::pin!(back, forth);
            tokio::select! {
                whole = &mut back => if whole { forth.await; },
                whole = &mut forth => if whole { back.await; },
            }
        });
    }
}

async fn connect(targets: &[SocketAddr], turn: &AtomicUsize) -> Option<TcpStream> {
    let first = turn.fetch_add(1, Ordering::Relaxed);
    for n in 0..targets.len() {
        if let Ok(server) = TcpStream::connect(targets[(first + n) % targets.len()]).await {
            return Some(server);
        }
    }
    None
}

/// Copies until the end, which answers true, or until something breaks.
async fn watch_and_copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    bytes: Option<Arc<AtomicU64>>,
    mut dice: Option<StdRng>,
) -> bool {
    let mut buffer = vec![0; 16 << 10];
    let mut left: Option<u32> = None;
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Cut => return false,
            Weather::Silent => {
                if weather.changed().await.is_err() {
                    return false;
                }
                continue;
            }
            Weather::Torn(most) => {
                if left.is_none() {
                    left = dice.as_mut().map(|dice| dice.random_range(1..=most.max(1)));
                }
            }
            Weather::Clear | Weather::Slow(_) => left = None,
        }
        let n = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(0) => {
                    let _ = to.shutdown().await;
                    return true;
                }
                Ok(n) => n,
                Err(_) => return false,
            },
            changed = weather.changed() => {
                if changed.is_err() {
                    return false;
                }
                continue;
            }
        };
        if let Weather::Slow(by) = now {
            tokio::time::sleep(by).await;
        }
        let passing = left.map_or(n, |left| n.min(left as usize));
        if to.write_all(&buffer[..passing]).await.is_err() {
            return false;
        }
        if let Some(bytes) = &bytes {
            bytes.fetch_add(passing as u64, Ordering::Relaxed);
        }
        if let Some(left) = &mut left {
            *left -= u32::try_from(passing).unwrap_or(u32::MAX).min(*left);
            if *left == 0 {
                return false;
            }
        }
    }
}
