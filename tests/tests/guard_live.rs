//! A box listens to a wire while tcpreplay sends at a rate: what was sent is what was seen and what was dropped, as
//! counted; a scan among it becomes a detection; the ring gives its packets back, after a restart too.
//!
//! The wire is a pair of virtual interfaces in a network namespace of the test's own, which ends with it.

use std::{
    fs::File,
    io::BufWriter,
    net::Ipv4Addr,
    path::Path,
    sync::{Mutex, PoisonError},
};

use nix::sched::{CloneFlags, unshare};
use reqwest::Method;
use sent_contract::{
    Page,
    guard::{Detection, Device, Flow, Status},
};
use sent_guard::capture::{Frame, Reader, write::Writer};
use sent_tests::{Appliance, Context as _, Face, Result, bail, ensure, program::Launch, until};

/// Who owns the box.
pub(crate) const OWNER: (&str, &str) = ("ada@northwind.example", "tea in the afternoon");
/// The box's end of the wire, and the other one.
pub(crate) const WIRE: (&str, &str) = ("guard0", "guard1");
/// Datagrams of people at work.
const TALK: u32 = 40_000;
/// Ports that are scanned; each refuses.
const SCANNED: u16 = 200;
/// Packets a second.
const RATE: u32 = 20_000;

const SETTINGS: &str = "
[guard]
interfaces = ['guard0']
filter = 'ip'
ring_mib = 64
buffer_mib = 32
";

#[test]
fn guard_live() -> Result<()> {
    // Threads that are begun from here on, and programs, are in the namespace too.
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("skipped: a network namespace cannot be made here ({error})");
        return Ok(());
    }
    lay_wire()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(story())
}

fn ip(arguments: &[&str]) -> Result<()> {
    Launch::new("ip").arguments(arguments.iter().copied()).run().map(drop)
}

pub(crate) fn lay_wire() -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", WIRE.0, "type", "veth", "peer", "name", WIRE.1])?;
    ip(&["link", "set", WIRE.0, "up"])?;
    ip(&["link", "set", WIRE.1, "up"])
}

async fn story() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("sent-").tempdir()?;
    let mut appliance = Appliance::new(folder.path().join("box"), folder.path().join("box.log"))?;
    appliance.configure(SETTINGS)?;
    let init = ["init", "--organisation", "Northwind", "--currency", "EUR", "--email", OWNER.0, "--password-stdin"];
    let (status, _, complaint) = appliance.verb(&init)?.finish(OWNER.1.as_bytes())?;
    ensure!(status.success(), "{complaint}");
    appliance.start().await?;
    let face = appliance.login(OWNER.0, OWNER.1).await?;
    listening(&face).await?;

    let capture = folder.path().join("office.pcapng");
    let sent = write_capture(&capture)?;
    let rate = format!("--pps={RATE}");
    let replay = ["--intf1", WIRE.1, &rate, "--preload-pcap", &capture.display().to_string()].map(str::to_owned);
    let told = Launch::new("tcpreplay").arguments(replay).run()?;
    ensure!(told.contains("Failed packets:            0"), "{told}");

    // Every frame that went out is accounted for: looked at, or counted where it was lost.
    let last = Mutex::new(None);
    let status = until("all frames are accounted for", 30, || async {
        let status: Status = face.get("/api/guard/status").await?;
        let wire = &status.interfaces[0];
        let accounted = wire.frames + wire.dropped_kernel + wire.dropped_queue;
        ensure!(accounted <= sent, "{accounted} of {sent} frames");
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(wire.clone());
        // The kernel's own count is read once a second.
        Ok((accounted == sent && wire.received == sent).then_some(status))
    })
    .await
    .with_context(|| format!("of {sent}: {last:?}"))?;
    let wire = &status.interfaces[0];
    println!("{} of {sent} frames looked at, {} lost", wire.frames, wire.dropped_kernel + wire.dropped_queue);
    ensure!(wire.frames > sent / 2, "hardly anything was looked at: {wire:?}");

    let detection = until("the scan is told", 60, || async {
        let page: Page<Detection> = face.get("/api/guard/detections?state=open").await?;
        Ok(page.items.into_iter().find(|detection| detection.kind == "scan"))
    })
    .await?;
    ensure!(detection.source.as_deref() == Some("192.168.7.66"), "{detection:?}");
    ensure!(detection.destination.as_deref() == Some("192.168.7.9"), "{detection:?}");
    let flows: Page<Flow> = until("the scan's flows are stored", 30, || async {
        let page: Page<Flow> = face.get("/api/guard/flows?address=192.168.7.66&limit=1000").await?;
        Ok((page.items.len() >= usize::from(SCANNED) / 2).then_some(page))
    })
    .await?;
    ensure!(flows.items.iter().all(|flow| flow.state == "refused" || flow.state == "unanswered"));
    let devices: Page<Device> = face.get("/api/guard/devices").await?;
    ensure!(devices.items.iter().any(|device| device.addresses.iter().any(|address| address == "192.168.7.66")));

    // Nothing was lost where both counts say so; otherwise as much as there is.
    let whole = status.ring.as_ref().is_some_and(|ring| ring.dropped == 0) && wire.frames == sent;
    let wanted = u64::from(SCANNED) * 2;
    let path = format!("/api/guard/packets.pcapng?detection={}", detection.id);
    let given = packets(&face, &path).await?;
    ensure!(given == wanted || !whole && given > 0, "{given} of {wanted} packets of the scan");

    let done: Detection =
        face.post(&format!("/api/guard/detections/{}/acknowledge", detection.id), &serde_json::json!({})).await?;
    ensure!(done.state == "acknowledged" && done.acknowledged_by.is_some(), "{done:?}");
    let events = std::fs::read_to_string(appliance.data().join("guard/eve/eve.json"))?;
    ensure!(events.lines().any(|line| line.contains("\"alert\"") && line.contains("192.168.7.66")));

    appliance.stop().await?;
    appliance.start().await?;
    let face = appliance.login(OWNER.0, OWNER.1).await?;
    listening(&face).await?;
    ensure!(packets(&face, &path).await? == given, "the ring does not survive a restart");
    let flows: Page<Flow> = face.get("/api/guard/flows?limit=1000").await?;
    let talk: u64 = flows.items.iter().filter(|flow| flow.proto == "udp").map(|flow| flow.packets_out).sum();
    ensure!(talk == u64::from(TALK) || !whole, "{talk} of {TALK} datagrams are in flows");
    appliance.stop().await
}

pub(crate) async fn listening(face: &Face) -> Result<()> {
    until("the box listens", 60, || async {
        let answer = face.send(Method::GET, "/api/guard/status", None).await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let status: Status = answer.json()?;
        Ok(status.interfaces.iter().any(|wire| wire.name == WIRE.0 && wire.fault.is_none()).then_some(()))
    })
    .await
}

/// Downloads packets; answers how many there are.
async fn packets(face: &Face, path: &str) -> Result<u64> {
    let answer = face.send(Method::GET, path, None).await?;
    ensure!(answer.status.is_success(), "{}", answer.text());
    let mut reader = Reader::new(answer.body.as_slice())?;
    while reader.next()?.is_some() {}
    Ok(reader.frames())
}

/// People at work, and a scan in the middle of it; answers how many frames there are.
fn write_capture(path: &Path) -> Result<u64> {
    let mut writer = Writer::new(BufWriter::new(File::create(path)?))?;
    let mut count = 0_u32;
    let mut put = |data: Vec<u8>| -> Result<()> {
        let length = u32::try_from(data.len())?;
        writer.frame("", &Frame { time: i64::from(count) * 1_000, link: 1, length, data: &data })?;
        count += 1;
        Ok(())
    };
    for number in 0..TALK {
        let [.., client] = (number % 40 + 10).to_be_bytes();
        put(frame(client, 1, 17, &udp(40_000 + number % 40, 9_000, &[7; 180])?))?;
        if number == TALK / 2 {
            for port in 1..=SCANNED {
                put(frame(66, 9, 6, &tcp(50_000, port, 0x02)))?;
                put(frame(9, 66, 6, &tcp(port, 50_000, 0x14)))?;
            }
        }
    }
    writer.flush()?;
    Ok(count.into())
}

/// Ethernet and IPv4 between two hosts of the office.
pub(crate) fn frame(from: u8, to: u8, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mac = |host: u8| [0, 0x16, 0x3e, 0, 7, host];
    let address = |host: u8| Ipv4Addr::new(192, 168, 7, host).octets();
    // Bodies here are short.
    let length = u16::try_from(body.len() + 20).unwrap_or(u16::MAX).to_be_bytes();
    let head = [&[0x45, 0][..], &length, &[0, 1, 0, 0, 64, protocol, 0, 0], &address(from), &address(to)].concat();
    [&mac(to)[..], &mac(from), &[8, 0], &head, body].concat()
}

pub(crate) fn udp(from: u32, to: u16, payload: &[u8]) -> Result<Vec<u8>> {
    let Ok(from) = u16::try_from(from) else { bail!("{from} is no port") };
    let length = u16::try_from(payload.len() + 8)?.to_be_bytes();
    Ok([&from.to_be_bytes()[..], &to.to_be_bytes(), &length, &[0, 0], payload].concat())
}

pub(crate) fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 8], &[0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]].concat()
}
