//! HTTP in and out.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use sent_contract::{
    Micros, Page, Uuid,
    guard::{CUT, Certificate, Detection, Device, DeviceDetail, Flow, Status, Talker, Traffic},
};
use sent_core::{
    Problem, Scope,
    route::{Access, Routes},
};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use crate::{
    device::Mac,
    flows::Filter,
    ring::Wanted,
    service::{Packets, ROWS, Service},
    store::Filter as DetectionFilter,
};

type App = State<Arc<Service>>;
type Who = Extension<Scope>;
type Answer<T> = Result<Json<T>, Problem>;

const READ: Access = Access::Right("guard.read");
/// Packets hold what people write: more than what is told of them.
const PACKETS: Access = Access::Right("guard.packets");
const WRITE: Access = Access::Right("guard.write");

/// All routes of this engine.
pub fn routes(service: Arc<Service>) -> Routes {
    Routes::new()
        .get("/api/guard/status", READ, status)
        .get("/api/guard/flows", READ, flows)
        .get("/api/guard/talkers", READ, talkers)
        .get("/api/guard/traffic", READ, traffic)
        .get("/api/guard/devices", READ, devices)
        .get("/api/guard/devices/{mac}", READ, device)
        .get("/api/guard/certificates", READ, certificates)
        .get("/api/guard/detections", READ, detections)
        .post("/api/guard/detections/{id}/acknowledge", WRITE, acknowledge)
        .get("/api/guard/packets.pcapng", PACKETS, packets)
        .with_state(service)
}

async fn status(State(service): App, Extension(scope): Who) -> Answer<Status> {
    service.status(&scope).map(Json)
}

/// What flows are asked for by; a field that is empty does not count.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    from: Option<Micros>,
    to: Option<Micros>,
    address: Option<String>,
    mac: Option<String>,
    port: Option<u16>,
    app: Option<String>,
    q: Option<String>,
    flow: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(ROWS.0).clamp(1, ROWS.1)
}

impl Asked {
    fn filter(self) -> Result<(Filter, usize), Problem> {
        let mac = given(self.mac).map(|mac| mac.parse::<Mac>().map_err(|e| Problem::field("mac", e.to_string())));
        let filter = Filter {
            from: self.from,
            to: self.to,
            addresses: self.address.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect(),
            mac: mac.transpose()?.map(|mac| mac.to_string()),
            port: self.port,
            app: given(self.app),
            words: given(self.q),
            flow: given(self.flow),
            after: self.after,
        };
        Ok((filter, limit(self.limit)))
    }
}

async fn flows(State(service): App, Extension(scope): Who, Query(asked): Query<Asked>) -> Answer<Page<Flow>> {
    let (filter, limit) = asked.filter()?;
    service.flows(&scope, filter, limit).await.map(Json)
}

async fn talkers(State(service): App, Extension(scope): Who, Query(asked): Query<Asked>) -> Answer<Page<Talker>> {
    let (filter, limit) = asked.filter()?;
    service.talkers(&scope, filter, limit).await.map(Json)
}

async fn traffic(State(service): App, Extension(scope): Who, Query(asked): Query<Asked>) -> Answer<Traffic> {
    service.traffic(&scope, asked.filter()?.0).await.map(Json)
}

async fn devices(State(service): App, Extension(scope): Who) -> Answer<Page<Device>> {
    service.devices(&scope).await.map(Json)
}

async fn device(State(service): App, Extension(scope): Who, Path(mac): Path<String>) -> Answer<DeviceDetail> {
    service.device(&scope, &mac).await.map(Json)
}

async fn certificates(State(service): App, Extension(scope): Who) -> Answer<Page<Certificate>> {
    service.certificates(&scope).await.map(Json)
}

#[derive(Debug, Default, Deserialize)]
struct AskedDetections {
    state: Option<String>,
    kind: Option<String>,
    mac: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

async fn detections(
    State(service): App,
    Extension(scope): Who,
    Query(asked): Query<AskedDetections>,
) -> Answer<Page<Detection>> {
    let cursor = |text: String| -> Option<(Micros, String)> {
        let (at, id) = text.split_once('_')?;
        Some((at.parse().ok()?, id.to_owned()))
    };
    let after = given(asked.after).map(|text| cursor(text).ok_or_else(|| Problem::field("after", "this is no cursor")));
    let filter = DetectionFilter {
        state: given(asked.state),
        kind: given(asked.kind),
        mac: given(asked.mac),
        after: after.transpose()?,
    };
    service.detections(&scope, filter, limit(asked.limit)).await.map(Json)
}

async fn acknowledge(State(service): App, Extension(scope): Who, Path(id): Path<String>) -> Answer<Detection> {
    let id: Uuid = id.parse().map_err(|_| Problem::not_found("detection"))?;
    service.acknowledge(&scope, id).await.map(Json)
}

#[derive(Debug, Default, Deserialize)]
struct AskedPackets {
    detection: Option<Uuid>,
    flow: Option<String>,
    address: Option<String>,
    mac: Option<String>,
    from: Option<Micros>,
    to: Option<Micros>,
}

impl AskedPackets {
    fn which(self) -> Result<Packets, Problem> {
        let address = given(self.address).map(|text| {
            text.parse::<IpAddr>().map_err(|_| Problem::field("address", "this is no address: write 192.168.1.7"))
        });
        let mac = given(self.mac).map(|mac| mac.parse::<Mac>().map_err(|e| Problem::field("mac", e.to_string())));
        let wanted = match (self.detection, given(self.flow), address.transpose()?, mac.transpose()?) {
            (Some(detection), None, None, None) => return Ok(Packets::Detection(detection)),
            (None, Some(flow), None, None) => Wanted::Flow(flow),
            (None, None, Some(address), None) => Wanted::Host(address),
            (None, None, None, Some(mac)) => Wanted::Device(mac),
            // The whole ring is no answer to a question.
            (None, None, None, None) if self.from.is_some() => Wanted::All,
            _ => return Err(Problem::invalid("name a detection, a flow, an address, a device, or since when")),
        };
        Ok(Packets::Between { wanted, from: self.from.unwrap_or(0), to: self.to.unwrap_or(Micros::MAX) })
    }
}

async fn packets(
    State(service): App,
    Extension(scope): Who,
    Query(asked): Query<AskedPackets>,
) -> Result<Response, Problem> {
    let (file, complete) = service.packets(&scope, asked.which()?).await?;
    let length = file.metadata().map_err(Problem::internal)?.len();
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-pcapng")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"packets.pcapng\"")),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    let cut = (!complete).then_some([(CUT, "1")]);
    Ok((headers, cut, body).into_response())
}
