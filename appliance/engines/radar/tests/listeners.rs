//! The listeners over real sockets: what was sent over UDP and TLS is what was taken, and a flood costs no more than the
//! queue's bound.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring, pki_types::ServerName};
use sent_core::clock::SystemClock;
use sent_radar::intake::{
    inlet::Inlet,
    net::{self, Bounds},
    queue::{Blocks, Limits, Queue, Reader},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

/// A queue, its way in, and who reads it.
struct World {
    _folder: tempfile::TempDir,
    inlet: Inlet,
    reader: Reader,
    shutdown: CancellationToken,
}

impl World {
    fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SystemClock::shared();
        let queue = Queue::open(&folder.path().join("queue"), limits, &clock).expect("the queue");
        let reader = queue.reader("test", Some(0));
        let inlet = Inlet::new(queue, clock, 1_000);
        Self { _folder: folder, inlet, reader, shutdown: CancellationToken::new() }
    }

    fn udp(&self) -> (SocketAddr, JoinHandle<()>) {
        let socket = net::bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
        let address = socket.local_addr().expect("an address");
        (address, tokio::spawn(net::serve_udp(socket, self.inlet.clone(), self.shutdown.clone())))
    }

    async fn tcp(&self) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let serving = net::serve_tcp(listener, self.inlet.clone(), Bounds::default(), self.shutdown.clone());
        (address, tokio::spawn(serving))
    }

    /// What is durable and was not read yet: source and message. Its room is given back.
    fn read(&mut self) -> Vec<(String, String)> {
        let mut blocks = Blocks::default();
        let mut found = Vec::new();
        loop {
            self.reader.read(1_000, 1 << 20, &mut blocks).expect("the queue is read");
            if blocks.is_empty() {
                self.reader.done(self.reader.cursor()).expect("the queue forgets");
                return found;
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.extend(blocks.entries().map(|(_, a)| (a.source.to_owned(), text(a.bytes))));
        }
    }

    /// Reads until there were so many messages.
    async fn read_all(&mut self, count: usize) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while found.len() < count {
            let some = within(self.reads()).await;
            found.extend(some);
        }
        found
    }

    async fn reads(&mut self) -> Vec<(String, String)> {
        loop {
            let found = self.read();
            if !found.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A state that must come. The bound only ends a test that would hang.
async fn within<T>(state: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), state).await.expect("the state never came")
}

async fn until(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datagram_is_a_message() {
    let mut world = World::new(Limits::default());
    let (address, serving) = world.udp();
    let sender = UdpSocket::bind("127.0.0.9:0").unwrap();
    let long = format!("<13>{}", "x".repeat(3_000));
    // A line end inside belongs to the message; one that ends it does not; a count is no count here.
    for message in ["<13>one\n", "<13>two\nof two", "7 <13>abc", "\n", &long] {
        sender.send_to(message.as_bytes(), address).unwrap();
    }
    let found = world.read_all(4).await;
    assert!(found.iter().all(|(source, _)| source == "127.0.0.9"), "{found:?}");
    let messages: Vec<&str> = found.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(messages, ["<13>one", "<13>two\nof two", "7 <13>abc", &long[..1_000]]);
    let counters = world.inlet.counters();
    assert_eq!((counters.cut.load(Relaxed), counters.cut_bytes.load(Relaxed)), (1, long.len() as u64 - 1_000));
    world.shutdown.cancel();
    within(serving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_over_tls_is_taken_and_a_bad_handshake_is_counted() {
    let mut world = World::new(Limits::default());
    let (acceptor, connector) = tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = net::serve_tls(listener, acceptor, world.inlet.clone(), Bounds::default(), world.shutdown.clone());
    let serving = tokio::spawn(serving);

    let name = ServerName::try_from("localhost").unwrap();
    let mut stream =
        within(connector.connect(name, TcpStream::connect(address).await.unwrap())).await.expect("a handshake");
    // RFC 5425 §4.3: octet counting; its frames and TLS records know nothing of each other.
    let sent: Vec<String> = (0..3_000).map(|n| format!("<13>1 - - - - - - line {n}\nand its end")).collect();
    let frames: String = sent.iter().map(|m| format!("{} {m}", m.len())).collect();
    for piece in frames.as_bytes().chunks(20_011) {
        within(stream.write_all(piece)).await.unwrap();
    }
    within(stream.shutdown()).await.unwrap();
    let found = world.read_all(sent.len()).await;
    assert!(found.iter().all(|(source, _)| source == "127.0.0.1"));
    assert_eq!(found.into_iter().map(|(_, message)| message).collect::<Vec<_>>(), sent);

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"<13>not encrypted\n<13>at all\n").await.unwrap();
    // The server closes: after an alert, or at once.
    let _ = within(plain.read_to_end(&mut Vec::new())).await;
    until(|| world.inlet.counters().refused.load(Relaxed) == 1).await;
    assert_eq!(world.inlet.counters().messages.load(Relaxed), sent.len() as u64);
    world.shutdown.cancel();
    within(serving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_datagrams_from_ten_thousand_sources_stays_within_the_queue() {
    const SOURCES: u64 = 10_000;
    let limits = Limits { most_bytes: 512 << 10, segment_bytes: 64 << 10 };
    let mut world = World::new(limits);
    let (address, serving) = world.udp();
    let queue = world.inlet.queue().clone();
    let sending = tokio::task::spawn_blocking(move || {
        for n in 0..SOURCES {
            let [.., high, low] = n.to_be_bytes();
            let sender = UdpSocket::bind((Ipv4Addr::new(127, 1, high, low), 0)).unwrap();
            sender.send_to(format!("<13>{:0>200}", n).as_bytes(), address).unwrap();
            assert!(queue.stats().bytes <= limits.most_bytes);
        }
    });
    within(sending).await.unwrap();
    // Every datagram is somewhere: in the queue, counted as refused by it, or counted as dropped by the kernel.
    let inlet = world.inlet.clone();
    let taken = || inlet.counters().messages.load(Relaxed);
    let lost = || inlet.counters().dropped.load(Relaxed) + net::kernel_drops(address.port()).unwrap();
    until(|| taken() + lost() == SOURCES).await;
    assert!(lost() > 0, "2 MB do not fit into half of one");
    assert!(world.inlet.queue().stats().bytes <= limits.most_bytes);
    // What was counted as taken is there, each from its own address.
    let found = world.read_all(usize::try_from(taken()).unwrap()).await;
    for (source, message) in &found {
        let n: u64 = message[4..].parse().unwrap();
        let [.., high, low] = n.to_be_bytes();
        assert_eq!(source, &Ipv4Addr::new(127, 1, high, low).to_string());
    }
    assert_eq!(found.len() as u64, taken());
    world.shutdown.cancel();
    within(serving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_over_tcp_is_pushed_back_and_loses_nothing() {
    const SOURCES: u8 = 200;
    const LINES: usize = 25;
    let limits = Limits { most_bytes: 512 << 10, segment_bytes: 64 << 10 };
    let mut world = World::new(limits);
    let (address, serving) = world.tcp().await;
    let senders: Vec<_> = (0..SOURCES)
        .map(|n| {
            tokio::spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::from((Ipv4Addr::new(127, 2, 0, n + 1), 0))).unwrap();
                let mut stream = socket.connect(address).await.unwrap();
                for line in 0..LINES {
                    stream.write_all(format!("<13>{n} {line:0>200}\n").as_bytes()).await.unwrap();
                }
                stream.shutdown().await.unwrap();
            })
        })
        .collect();
    until(|| world.inlet.counters().pushed_back.load(Relaxed) > 0).await;
    assert!(world.inlet.queue().stats().bytes <= limits.most_bytes);
    let total = usize::from(SOURCES) * LINES;
    let mut next = [0; SOURCES as usize];
    let mut found = 0;
    while found < total {
        for (source, message) in within(world.reads()).await {
            let (n, line) = message[4..].split_once(' ').unwrap();
            let n: usize = n.parse().unwrap();
            assert_eq!(source, format!("127.2.0.{}", n + 1));
            assert_eq!(line.parse::<usize>().unwrap(), next[n], "the lines of a connection stay in their order");
            next[n] += 1;
            found += 1;
        }
        assert!(world.inlet.queue().stats().bytes <= limits.most_bytes);
    }
    for sender in senders {
        within(sender).await.unwrap();
    }
    assert_eq!(world.inlet.counters().messages.load(Relaxed), total as u64);
    world.shutdown.cancel();
    within(serving).await.unwrap();
}

/// A server's and a client's side, of a certificate that is made for this.
fn tls() -> (TlsAcceptor, TlsConnector) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
        .expect("good names")
        .self_signed(&key)
        .expect("a certificate");
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().expect("a key in DER"))
        .expect("a key that fits");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}
