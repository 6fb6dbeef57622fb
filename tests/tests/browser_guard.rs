//! A person looks at the network in a real browser: who talks to whom, a device, a detection with its packets, certificates,
//! the capture itself. What is seen is public captures of real programs, sent through a wire by tcpreplay as if an office's
//! own devices spoke, and a scan among them. Pictures of each page in both sizes and both themes are kept.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    path::Path,
};

use fantoccini::{Locator, key::Key};
use flate2::read::GzDecoder;
use nix::sched::{CloneFlags, unshare};
use sent_contract::{
    Page,
    guard::{Certificate, Detection, Device, Status, Traffic},
};
use sent_guard::capture::{Frame, Reader, write::Writer};
use sent_tests::{Appliance, Context as _, Face, Result, browser::Browser, ensure, program, program::Launch, until};
use serde_json::json;

use crate::{
    browser_box::log_in,
    guard_live::{OWNER, WIRE, frame, lay_wire, listening, tcp, udp},
};

/// The office: last byte of the address, name it tells the DHCP server, and the vendor class it tells with it.
const OFFICE: &[(u8, &str, &str)] = &[
    (20, "reception", "MSFT 5.0"),
    (21, "anna-laptop", "MSFT 5.0"),
    (22, "warehouse-pc", "dhcpcd-9.4.1:Linux-6.1"),
    (23, "till-1", "android-dhcp-13"),
    (24, "media-player", "udhcp 1.36.1"),
    (25, "nas", "dhcpcd-9.4.1:Linux-6.1"),
];
/// The router, and a visitor that scans the office's server.
const ROUTER: u8 = 1;
const VISITOR: u8 = 66;
const SERVER: u8 = 25;
/// Ports that the visitor tries; each refuses.
const SCANNED: u16 = 120;

/// Capture, its client's address, the device that speaks in its place; and a server of its own that becomes the office's.
const SPOKEN: &[(&str, &str, u8, Option<&str>)] = &[
    ("http/206_example_b.pcap", "192.168.72.14", 21, None),
    ("http/no_crlf.pcap", "10.1.6.206", 22, None),
    ("http/bro.org.pcap", "10.0.2.15", 20, None),
    ("http/m57-long-49583-80.pcap", "192.168.1.105", 24, None),
    ("quic/firefox-102.13.0esr-blog-cloudflare-com.pcap", "82.239.54.117", 21, None),
    ("quic/quic_win11_firefox_google.pcap", "1.2.3.4", 20, None),
    ("tls/tls-1.2-stream-keylog.pcap", "192.168.20.12", 21, None),
    ("tls/ssl.v3.pcap", "192.150.187.164", 23, None),
    ("tls/google-cert-repeat.pcap", "167.71.55.249", 24, None),
    ("tls/signed_certificate_timestamp.pcap", "192.168.178.73", 21, None),
    ("tls/tls-expired-cert.pcap", "192.168.4.149", 20, None),
    ("tls/missing-intermediate.pcap", "192.168.4.149", 22, None),
    ("tls/client-certificate.pcap", "192.168.0.64", 23, None),
    ("tls/certificate-with-sct.pcap", "192.168.6.107", 22, None),
    ("tls/tls1_1.pcap", "192.168.17.58", 24, None),
    ("tls/imap-starttls.pcap", "192.168.17.53", 20, None),
    ("ssh/ssh.pcap", "192.168.1.32", 22, None),
    ("ssh/ssh_kex_mlkem.pcap", "10.211.55.16", 21, Some("10.211.55.15")),
    ("ftp/ftp-with-numbers-in-filename.pcap", "192.168.21.95", 24, None),
    ("rdp/rdp-to-ssl.pcap", "192.168.1.200", 20, Some("192.168.1.150")),
    ("mysql/auth.pcap", "192.168.1.3", 23, Some("192.168.1.8")),
    ("sip/wireshark.pcap", "192.168.1.2", 20, None),
];
/// Packets a second.
const RATE: u32 = 6_000;

const SETTINGS: &str = "
[guard]
interfaces = ['guard0']
filter = 'ip'
ring_mib = 64
buffer_mib = 32
part_seconds = 10
lists = ['LIST']
[guard.thresholds]
learn_hours = 0
";

#[test]
fn browser_guard() -> Result<()> {
    // Threads that are begun from here on, and programs, are in the namespace too.
    unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace, which needs root")?;
    lay_wire()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("sent-").tempdir()?;
    let list = folder.path().join("known-bad.txt");
    File::create(&list)?.write_all(b"97.107.139.108\nbad.example\n")?;
    let mut appliance = Appliance::new(folder.path().join("box"), folder.path().join("box.log"))?;
    appliance.configure(&SETTINGS.replace("LIST", &list.display().to_string()))?;
    let init = ["init", "--organisation", "Northwind", "--currency", "EUR", "--email", OWNER.0, "--password-stdin"];
    let (status, _, complaint) = appliance.verb(&init)?.finish(OWNER.1.as_bytes())?;
    ensure!(status.success(), "{complaint}");
    let capture = folder.path().join("office.pcapng");
    let sent = write_capture(&capture)?;
    appliance.start().await?;
    let face = appliance.login(OWNER.0, OWNER.1).await?;
    listening(&face).await?;
    let rate = format!("--pps={RATE}");
    let replay = ["--intf1", WIRE.1, &rate, "--preload-pcap", &capture.display().to_string()].map(str::to_owned);
    let told = Launch::new("tcpreplay").arguments(replay).run()?;
    ensure!(told.contains("Failed packets:            0"), "{told}");

    let browser = Browser::open().await?;
    browser.go(&appliance.address()).await?;
    log_in(&browser, OWNER.0, OWNER.1).await?;
    let scan = seen(&face).await?;

    traffic(&browser).await?;
    devices(&browser, &appliance).await?;
    detections(&browser, &appliance, &face, &scan).await?;
    browser.go(&format!("{}/network/certificates", appliance.address())).await?;
    browser.reads(&["Expired", "Foreign", "shown"]).await?;
    browser.pictures("box-certificates").await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Good until", "SHA-256"]).await?;
    browser.picture("box-certificate").await?;
    capture_page(&browser, &appliance, &face, sent).await?;
    let complaints = browser.complaints().await?;
    ensure!(complaints.iter().all(|c| c.contains("/api/session")), "the browser complains: {complaints:#?}");

    // A box that listens to nothing says what to set.
    appliance.stop().await?;
    appliance.configure("")?;
    appliance.start().await?;
    browser.go(&format!("{}/network/capture", appliance.address())).await?;
    browser.reads(&["does not listen to the network yet", "interfaces = [\"eth1\"]"]).await?;
    browser.pictures("box-capture-none").await?;
    browser.close().await?;
    appliance.stop().await
}

/// Waits until all that was sent is known: flows, names, the scan, certificates.
async fn seen(face: &Face) -> Result<Detection> {
    until("the office's flows are told", 40, || async {
        let traffic: Traffic = face.get("/api/guard/traffic").await?;
        let devices: Page<Device> = face.get("/api/guard/devices").await?;
        let certificates: Page<Certificate> = face.get("/api/guard/certificates").await?;
        let named = devices.items.iter().filter(|device| device.name.is_some()).count();
        let enough = traffic.bytes_in > 4_000_000 && named >= OFFICE.len() && certificates.items.len() >= 5;
        Ok((enough && traffic.sources > OFFICE.len() as u64).then_some(()))
    })
    .await?;
    until("the scan is told", 40, || async {
        let page: Page<Detection> = face.get("/api/guard/detections?state=open&kind=scan").await?;
        Ok(page.items.into_iter().next())
    })
    .await
}

/// The drawing and what stands beside it, from the keyboard.
async fn traffic(browser: &Browser) -> Result<()> {
    browser.keys("gn").await?;
    browser.find("svg.flows path.band").await?;
    let bands = browser.client().find_all(Locator::Css("svg.flows path.band")).await?.len();
    let ends = browser.client().find_all(Locator::Css("svg.flows g.end")).await?.len();
    let talkers = browser.client().find_all(Locator::Css(".talkers tr")).await?.len();
    ensure!(bands >= 12 && ends >= 12 && talkers >= 6, "{bands} bands, {ends} ends, {talkers} talkers");
    browser.reads(&["Top talkers", "anna-laptop", "warehouse-pc", "Applications", "TLS", "SSH", "Over time"]).await?;
    browser.find("svg.timeline rect.fill-c1").await?;
    browser.pictures("box-network").await?;
    let below = "document.querySelector('main').scrollTo(0, 1e6)";
    browser.client().execute(below, Vec::new()).await?;
    browser.pictures("box-network-flows").await?;

    // The widest band: what it is, then only that.
    browser.find("svg.flows").await?.send_keys(&String::from(char::from(Key::Down))).await?;
    browser.reads(&[" → ", " there, "]).await?;
    browser.picture("box-network-band").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["Clear"]).await?;
    until("one band is left", 20, || async {
        let bands = browser.client().find_all(Locator::Css("svg.flows path.band")).await?.len();
        Ok((bands == 1).then_some(()))
    })
    .await?;
    let url = browser.client().current_url().await?;
    ensure!(url.query().is_some_and(|query| query.contains("address=192.168.7.")), "{url}");
    browser.pictures("box-network-filtered").await?;
    Ok(())
}

/// A device found by its name and opened, from the keyboard.
async fn devices(browser: &Browser, appliance: &Appliance) -> Result<()> {
    browser.go(&format!("{}/network/devices", appliance.address())).await?;
    browser.reads(&["anna-laptop", "media-player", "192.168.7.66", "New"]).await?;
    browser.pictures("box-devices").await?;
    browser.keys("/").await?;
    browser.keys("anna").await?;
    browser.reads(&["1 of "]).await?;
    browser.press(Key::Escape).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.reads(&["told the DHCP server", "a guess from", "Top destinations"]).await?;
    browser.find("svg.flows path.band").await?;
    browser.pictures("box-device").await
}

/// The scan: opened, its packets taken, acknowledged.
async fn detections(browser: &Browser, appliance: &Appliance, face: &Face, scan: &Detection) -> Result<()> {
    browser.go(&format!("{}/network/detections", appliance.address())).await?;
    browser.reads(&["tries the ports of", "New device", "High"]).await?;
    browser.pictures("box-detections").await?;
    browser.go(&format!("{}/network/detections?kind=scan", appliance.address())).await?;
    browser.reads(&["tries the ports of", "1 shown"]).await?;
    browser.keys("j").await?;
    browser.press(Key::Enter).await?;
    browser.find("dialog[open]").await?;
    browser.reads(&["192.168.7.66", "192.168.7.25", "Last evidence", "Acknowledge"]).await?;
    browser.pictures("box-detection").await?;

    // What the page's own session is given, and then the button.
    let script = "const [path, done] = arguments; fetch(path).then(async (answer) => {
        const bytes = new Uint8Array(await answer.arrayBuffer());
        done({ status: answer.status, size: bytes.length, head: Array.from(bytes.slice(0, 4)) });
    }, (error) => done({ error: String(error) }));";
    let path = format!("/api/guard/packets.pcapng?detection={}", scan.id);
    let answer = browser.client().execute_async(script, vec![json!(path)]).await?;
    // The block type of a section's header, which reads alike both ways.
    ensure!(answer["status"] == 200 && answer["head"] == json!([0x0a, 0x0d, 0x0d, 0x0a]), "{answer}");
    ensure!(answer["size"].as_u64().is_some_and(|size| size > u64::from(SCANNED) * 60), "{answer}");
    let button = browser.client().find(Locator::XPath("//dialog//button[contains(., 'Packets')]")).await?;
    button.click().await?;
    browser.reads(&[" of packets"]).await?;

    let acknowledge = browser.client().find(Locator::Css("dialog[open] footer button[type=submit]")).await?;
    acknowledge.send_keys(&String::from(char::from(Key::Enter))).await?;
    browser.reads(&["Acknowledged"]).await?;
    until("the scan is acknowledged", 20, || async {
        let page: Page<Detection> = face.get("/api/guard/detections?state=acknowledged&kind=scan").await?;
        Ok(page.items.iter().any(|detection| detection.id == scan.id).then_some(()))
    })
    .await?;
    browser.reads(&["No detection matches"]).await
}

/// Counters on the page are those of the worker, and those are true.
async fn capture_page(browser: &Browser, appliance: &Appliance, face: &Face, sent: u64) -> Result<()> {
    browser.go(&format!("{}/network/capture", appliance.address())).await?;
    browser.reads(&["guard0", "Listens", "known-bad", "Packets kept on disk"]).await?;
    let status: Status = face.get("/api/guard/status").await?;
    let wire = &status.interfaces[0];
    ensure!(wire.frames + wire.dropped_kernel + wire.dropped_queue >= sent, "{wire:?} of {sent}");
    let shown =
        browser.client().execute("return document.querySelector('tbody td:nth-child(4)').innerText", vec![]).await?;
    let digits: String = shown.as_str().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    ensure!(digits.parse::<u64>()? == wire.frames, "{shown} frames are shown of {wire:?}");
    browser.pictures("box-capture").await
}

/// What the office says in a few seconds; answers how many frames there are.
fn write_capture(path: &Path) -> Result<u64> {
    let mut spoken = unpacked()?;
    let mut writer = Writer::new(std::io::BufWriter::new(File::create(path)?))?;
    let mut count = 0_u32;
    let mut put = |data: &[u8]| -> Result<()> {
        let length = u32::try_from(data.len())?;
        writer.frame("", &Frame { time: i64::from(count) * 1_000, link: 1, length, data })?;
        count += 1;
        Ok(())
    };
    for (host, name, vendor) in OFFICE {
        put(&frame(*host, ROUTER, 17, &udp(68, 67, &dhcp(*host, name, vendor))?))?;
    }
    for (capture, client, host, server) in SPOKEN {
        let bytes = spoken.remove(*capture).with_context(|| format!("there is no capture {capture}"))?;
        let client: Ipv4Addr = client.parse()?;
        let server = server.map(str::parse::<Ipv4Addr>).transpose()?;
        let mut reader = Reader::new(bytes.as_slice())?;
        while let Some(found) = reader.next()? {
            if let Some(data) = moved(found.data, client, *host, server) {
                put(&data)?;
            }
        }
    }
    for port in 1..=SCANNED {
        put(&frame(VISITOR, SERVER, 6, &tcp(50_000, port, 0x02)))?;
        put(&frame(SERVER, VISITOR, 6, &tcp(port, 50_000, 0x14)))?;
    }
    writer.flush()?;
    Ok(count.into())
}

/// The captures by name, out of the corpus beside the project; `SENT_CORPORA` names another place.
fn unpacked() -> Result<BTreeMap<&'static str, Vec<u8>>> {
    let beside = program::root().join("../shared/corpora");
    let corpora = std::env::var_os("SENT_CORPORA").map_or(beside, Into::into);
    let archive = corpora.join("pcap-zeek.tar.gz");
    let file = File::open(&archive).with_context(|| archive.display().to_string())?;
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let named =
            SPOKEN.iter().find(|(name, ..)| path.strip_prefix("zeek").is_ok_and(|path| path == Path::new(name)));
        if let Some((name, ..)) = named {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            found.insert(*name, bytes);
        }
    }
    Ok(found)
}

/// A frame of a client, as if a device of the office spoke; nothing where it is another's, or longer than the wire takes.
fn moved(data: &[u8], client: Ipv4Addr, host: u8, server: Option<Ipv4Addr>) -> Option<Vec<u8>> {
    const LONGEST: usize = 1_514;
    if data.len() < 34 || data.len() > LONGEST || data[12..14] != [8, 0] {
        return None;
    }
    let mut data = data.to_vec();
    let mac = |host: u8| [0, 0x16, 0x3e, 0, 7, host];
    let mut met = false;
    // Source and destination: where the address stands, and where the MAC address.
    for (ip, ether) in [(26, 6), (30, 0)] {
        let address = Ipv4Addr::new(data[ip], data[ip + 1], data[ip + 2], data[ip + 3]);
        let ours = if address == client {
            met = true;
            Some(host)
        } else {
            (Some(address) == server).then_some(SERVER)
        };
        if let Some(host) = ours {
            data[ip..ip + 4].copy_from_slice(&[192, 168, 7, host]);
        }
        data[ether..ether + 6].copy_from_slice(&mac(ours.unwrap_or(ROUTER)));
    }
    met.then_some(data)
}

/// A request for an address (RFC 2131 §3.2) that tells a name and a vendor class.
fn dhcp(host: u8, name: &str, vendor: &str) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 0, 0, 0, host, 0, 0, 0, 0, 192, 168, 7, host];
    message.resize(28, 0);
    message.extend([0, 0x16, 0x3e, 0, 7, host]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 3]);
    for (option, text) in [(12, name), (60, vendor)] {
        message.extend([option, u8::try_from(text.len()).unwrap_or(u8::MAX)]);
        message.extend(text.as_bytes());
    }
    message.push(255);
    message
}
