//! Syslog over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425).
//!
//! A quiet connection costs a task and a few hundred bytes: what is read goes through one buffer for each thread, and
//! only the beginning of an incomplete message is kept. TCP and TLS are pushed back by not being read; what UDP loses is
//! counted, in the queue's place here and in the kernel's by [`kernel_drops`].

use std::{cell::RefCell, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    framing::Framing,
    inlet::{Counters, Inlet, write_address},
    normalise::Form,
    queue::block::Draft,
};

/// Bytes read at once.
const READ: usize = 64 << 10;
/// Bytes read at once of a TLS connection, which has a buffer of its own: a record.
const READ_TLS: usize = 16 << 10;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of datagrams that go into the queue together.
const TOGETHER: usize = 256 << 10;
/// The kernel's buffer for datagrams, as far as it allows.
const KERNEL_BUFFER: usize = 8 << 20;

/// Bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// A connection that says nothing for so long is closed.
    pub idle: Duration,
}

impl Default for Bounds {
    /// 20,000 connections, an hour.
    fn default() -> Self {
        Self { connections: 20_000, idle: Duration::from_secs(3_600) }
    }
}

thread_local! {
    /// What a thread reads into and frames into, one connection after the other.
    static SCRATCH: RefCell<(Vec<u8>, Draft)> = RefCell::new((vec![0; READ], Draft::default()));
}

/// Takes syslog over TCP until `shutdown`.
pub async fn serve_tcp(listener: TcpListener, inlet: Inlet, bounds: Bounds, shutdown: CancellationToken) {
    accept(listener, &inlet.clone(), bounds, shutdown, move |stream, peer, inlet| async move {
        plain(stream, peer, &inlet, bounds.idle).await;
    })
    .await;
}

/// Takes syslog over TLS until `shutdown`. Whether clients need certificates is in `acceptor`'s configuration.
pub async fn serve_tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    inlet: Inlet,
    bounds: Bounds,
    shutdown: CancellationToken,
) {
    accept(listener, &inlet.clone(), bounds, shutdown, move |stream, peer, inlet| {
        let acceptor = acceptor.clone();
        async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => buffered(stream, peer, &inlet, bounds.idle).await,
                Ok(Err(error)) => {
                    Counters::add(&inlet.counters().refused, 1);
                    tracing::debug!(%peer, %error, "a TLS handshake failed");
                }
                Err(_) => Counters::add(&inlet.counters().refused, 1),
            }
        }
    })
    .await;
}

async fn accept<F>(
    listener: TcpListener,
    inlet: &Inlet,
    bounds: Bounds,
    shutdown: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr, Inlet) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it passes when connections close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            Counters::add(&inlet.counters().refused, 1);
            continue;
        };
        Counters::add(&inlet.counters().connections, 1);
        let serving = serve(stream, peer, inlet.clone());
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = serving => {}
            }
            drop(place);
        });
    }
}

/// Reads a connection through the thread's buffer.
async fn plain(stream: TcpStream, peer: SocketAddr, inlet: &Inlet, idle: Duration) {
    let mut source = String::new();
    write_address(peer.ip(), &mut source);
    let mut framing = Framing::new(inlet.longest());
    loop {
        inlet.room().await;
        if !matches!(tokio::time::timeout(idle, stream.readable()).await, Ok(Ok(()))) {
            break;
        }
        let left = SCRATCH.with_borrow_mut(|(buffer, draft)| match stream.try_read(buffer) {
            Ok(0) => Err(None),
            Ok(count) => {
                take(&mut framing, &buffer[..count], &source, inlet, draft);
                match inlet.append(draft) {
                    Ok(_) => Ok(None),
                    Err(_) => Ok(Some(std::mem::take(draft))),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(Some(error)),
        });
        match left {
            Ok(None) => {}
            Ok(Some(mut draft)) => {
                inlet.append_patiently(&mut draft).await;
            }
            Err(error) => {
                if let Some(error) = error {
                    tracing::debug!(%peer, %error, "a syslog connection broke");
                }
                break;
            }
        }
    }
    finish(framing, &source, inlet).await;
}

/// Reads a connection that has buffers of its own.
async fn buffered(mut stream: impl AsyncRead + Unpin, peer: SocketAddr, inlet: &Inlet, idle: Duration) {
    let mut source = String::new();
    write_address(peer.ip(), &mut source);
    let mut framing = Framing::new(inlet.longest());
    let mut buffer = vec![0; READ_TLS];
    let mut draft = Draft::default();
    loop {
        inlet.room().await;
        match tokio::time::timeout(idle, stream.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => {
                take(&mut framing, &buffer[..count], &source, inlet, &mut draft);
                inlet.append_patiently(&mut draft).await;
            }
            _ => break,
        }
    }
    finish(framing, &source, inlet).await;
}

fn take(framing: &mut Framing, bytes: &[u8], source: &str, inlet: &Inlet, draft: &mut Draft) {
    let received = inlet.now();
    let before = framing.counted();
    framing.push(bytes, |message, cut| inlet.draft(draft, Form::Syslog, source, received, message, cut));
    inlet.framed(before, framing.counted());
}

async fn finish(mut framing: Framing, source: &str, inlet: &Inlet) {
    let mut draft = Draft::default();
    let received = inlet.now();
    framing.finish(|message, cut| inlet.draft(&mut draft, Form::Syslog, source, received, message, cut));
    inlet.append_patiently(&mut draft).await;
}

/// Opens a socket for [`serve_udp`] with a large kernel buffer.
pub fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None)?;
    // The kernel gives what its limit allows; less is not an error.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Takes syslog datagrams until `shutdown`. One message a datagram (RFC 5426 §3.1); what a full queue cannot take is
/// counted and gone.
pub async fn serve_udp(socket: UdpSocket, inlet: Inlet, shutdown: CancellationToken) {
    let mut buffer = vec![0; READ];
    let mut draft = Draft::default();
    let mut source = String::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            ready = socket.readable() => if ready.is_err() { return },
        }
        let received = inlet.now();
        while draft.bytes() < TOGETHER {
            match socket.try_recv_from(&mut buffer) {
                Ok((count, peer)) => {
                    let message = super::framing::trimmed(&buffer[..count]);
                    if !message.is_empty() {
                        write_address(peer.ip(), &mut source);
                        inlet.draft(&mut draft, Form::Syslog, &source, received, message, false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be read");
                    break;
                }
            }
        }
        let count = u64::from(draft.len());
        if inlet.append(&mut draft).is_err() {
            Counters::add(&inlet.counters().dropped, count);
            draft.clear();
        }
    }
}

/// Datagrams that the kernel dropped at a port because nobody read them in time: the last column of `/proc/net/udp`.
pub fn kernel_drops(port: u16) -> io::Result<u64> {
    let mut drops = 0;
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        let text = match std::fs::read_to_string(table) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        drops += dropped_at(&text, port);
    }
    Ok(drops)
}

fn dropped_at(table: &str, port: u16) -> u64 {
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let local = columns.nth(1)?;
        local.ends_with(&wanted).then(|| columns.next_back()?.parse::<u64>().ok()).flatten()
    });
    rows.sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                     1: 00000000:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 42\n\
                     2: 00000000:0203 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 7\n";
        assert_eq!(super::dropped_at(table, 514), 42);
    }
}
