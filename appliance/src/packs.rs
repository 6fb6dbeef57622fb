//! Packs of rules that the cloud desires of this box: `radar.packs.NAME = {version, sha256, enabled}` in its document.
//!
//! What is desired is compared with what radar has, and each difference is one [`Step`]. A pack that is to run is fetched
//! from the cloud by its hash and handed to radar's own route; one that is not to run is only switched off, and never fetched
//! for that. What radar got from somebody at the box stays as it is, unless it has the name of a desired pack. Which packs
//! came from the cloud is written down, so that one that is desired no more goes, and one that was installed under the same
//! version at the box is not taken for the cloud's.
//!
//! Whatever fails is told under the pack's name in the reported document, and tried again; one pack never holds up another.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, header},
};
use http_body_util::{BodyExt as _, Limited};
use sent_contract::{
    ApiError, Page,
    radar::{Pack, PackChange},
};
use sent_core::Scope;
use sent_protocol::{Hash, sync::Fault};
use sent_store::Store;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::forward::{self, SCOPE},
    sync::SyncHandle,
};

/// Bytes of an archive at most: as much as the cloud keeps.
const MOST_ARCHIVE: usize = 32 << 20;
/// Bytes of what radar answers at most: a list of packs is far shorter.
const MOST_ANSWER: usize = 1 << 20;
/// Radar writes and compiles thousands of rules before it answers; a small box takes minutes for that.
const PATIENCE: Duration = Duration::from_secs(900);
/// Wait before something that failed is tried again; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Longest wait before something that failed is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Between two looks at what radar has while all is as desired: somebody at the box may have changed it.
const LOOK: Duration = Duration::from_secs(300);
/// Name of the store's fact that holds which packs came from the cloud.
const FROM_CLOUD: &str = "packs";

/// What is desired of one pack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Which version.
    pub version: String,
    /// Its archive.
    pub sha256: Hash,
    /// Whether its rules run.
    pub enabled: bool,
}

/// What is desired, by name.
pub type Wishes = BTreeMap<String, Wish>;

/// What came from the cloud: name, and the archive it was.
type Own = BTreeMap<String, Hash>;

/// How one pack stands, as it is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Told {
    /// `running`, `off`, `waiting`, `failed`.
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    cause: String,
}

/// What is desired, and what came of it.
pub struct Board {
    wishes: watch::Sender<Wishes>,
    /// How each pack stands with the wish that was last looked at.
    told: Mutex<BTreeMap<String, (Wish, Told)>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { wishes: watch::Sender::new(Wishes::new()), told: Mutex::default() }
    }
}

impl Board {
    /// Takes the packs out of a desired document; what cannot be read of them, with the reason.
    pub fn apply(&self, document: &Value) -> BTreeMap<String, String> {
        let (wishes, refused) = read(document);
        self.wishes.send_if_modified(|before| {
            let changed = *before != wishes;
            *before = wishes;
            changed
        });
        refused
    }

    /// How each desired pack stands.
    pub fn report(&self) -> Value {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let wishes = self.wishes.borrow();
        let each = wishes.iter().map(|(name, wish)| match told.get(name) {
            Some((of, told)) if of == wish => (name, told.clone()),
            _ => (name, Told { state: "waiting", cause: "the box is about it".to_owned() }),
        });
        json!(each.collect::<BTreeMap<_, _>>())
    }

    /// Whether this is news.
    fn tell(&self, wishes: &Wishes, now: BTreeMap<String, Told>) -> bool {
        let of = |(name, told): (String, Told)| wishes.get(&name).map(|wish| (name, (wish.clone(), told)));
        let now = now.into_iter().filter_map(of).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *told != now;
        *told = now;
        news
    }
}

/// Whether a key of the document is one of a pack's.
pub fn is_about_packs(key: &str) -> bool {
    key.starts_with("radar.packs.")
}

fn read(document: &Value) -> (Wishes, BTreeMap<String, String>) {
    let (mut wishes, mut refused) = (Wishes::new(), BTreeMap::new());
    // Packs are a table; anything else is a key nobody heeds.
    if let Some(Value::Object(packs)) = document.pointer("/radar/packs") {
        for (name, wish) in packs {
            match Wish::deserialize(wish) {
                Ok(wish) => {
                    wishes.insert(name.clone(), wish);
                }
                Err(error) => {
                    refused.insert(format!("radar.packs.{name}"), error.to_string());
                }
            }
        }
    }
    (wishes, refused)
}

/// One difference between what is desired and what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Fetch and install, then switch.
    Install,
    /// Switch.
    Switch(bool),
    /// Take away.
    Remove,
}

/// What is to be done, by pack.
fn steps(wishes: &Wishes, there: &[Pack], own: &Own) -> BTreeMap<String, Step> {
    let mut steps = BTreeMap::new();
    for (name, wish) in wishes {
        let pack = there.iter().find(|pack| pack.name == *name);
        let is_right = pack.is_some_and(|pack| pack.version == wish.version) && own.get(name) == Some(&wish.sha256);
        match pack {
            _ if wish.enabled && !is_right => steps.insert(name.clone(), Step::Install),
            Some(pack) if pack.enabled != wish.enabled => steps.insert(name.clone(), Step::Switch(wish.enabled)),
            _ => None,
        };
    }
    let gone = own.keys().filter(|name| !wishes.contains_key(*name));
    steps.extend(gone.map(|name| (name.clone(), Step::Remove)));
    steps
}

/// Why a step came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It will go by itself: the line is down, radar restarts.
    #[error("{0}")]
    Later(String),
    /// Somebody must do something.
    #[error("{0}")]
    Wrong(String),
}

impl Failure {
    fn told(self) -> Told {
        match self {
            Self::Later(cause) => Told { state: "waiting", cause },
            Self::Wrong(cause) => Told { state: "failed", cause },
        }
    }
}

/// What the keeper stands on.
pub struct Keeper<'a> {
    /// What is desired.
    pub board: &'a Board,
    /// Where is written down what came from the cloud.
    pub store: &'a Store,
    /// The way to the cloud.
    pub sync: &'a SyncHandle,
    /// Radar's socket; none where radar is switched off.
    pub radar: Option<PathBuf>,
}

impl Keeper<'_> {
    /// Keeps radar's packs as desired until the shutdown.
    pub async fn keep(&self, shutdown: &CancellationToken) {
        let mut wishes = self.board.wishes.subscribe();
        let mut wait = FIRST_WAIT;
        while !shutdown.is_cancelled() {
            let wanted = wishes.borrow_and_update().clone();
            let told = tokio::select! {
                told = self.look(&wanted) => told,
                () = shutdown.cancelled() => return,
            };
            let is_settled = told.values().all(|told| matches!(told.state, "running" | "off"));
            if self.board.tell(&wanted, told) {
                self.sync.tell();
            }
            let pause = if is_settled { LOOK } else { wait };
            tokio::select! {
                changed = wishes.changed() => {
                    // The board outlives this task.
                    if changed.is_err() { return }
                    wait = FIRST_WAIT;
                }
                () = tokio::time::sleep(pause) => {
                    wait = if is_settled { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                }
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Does what is to be done; answers how each desired pack stands.
    async fn look(&self, wishes: &Wishes) -> BTreeMap<String, Told> {
        let all = |failure: &str, wrong: bool| {
            let told = Told { state: if wrong { "failed" } else { "waiting" }, cause: failure.to_owned() };
            wishes.keys().map(|name| (name.clone(), told.clone())).collect::<BTreeMap<_, _>>()
        };
        let own = match self.own().await {
            Ok(own) => own,
            Err(error) => return all(&error, true),
        };
        if wishes.is_empty() && own.is_empty() {
            return BTreeMap::new();
        }
        let Some(radar) = &self.radar else { return all("radar is switched off in this box's settings", true) };
        let there: Page<Pack> = match self.ask(radar, Method::GET, "/api/radar/packs", Body::empty()).await {
            Ok(there) => there,
            Err(failure) => return all(&failure.to_string(), matches!(failure, Failure::Wrong(_))),
        };
        let mut todo = steps(wishes, &there.items, &own);
        let mut told = BTreeMap::new();
        for (name, wish) in wishes {
            let done = match todo.remove(name) {
                Some(step) => self.act(radar, name, &step, Some(wish), &there.items).await,
                None => Ok(()),
            };
            let state = if wish.enabled { "running" } else { "off" };
            let now = done.map_or_else(Failure::told, |()| Told { state, cause: String::new() });
            if !now.cause.is_empty() {
                tracing::warn!(
                    pack = name,
                    version = wish.version,
                    cause = now.cause,
                    "a desired pack is not as desired"
                );
            }
            told.insert(name.clone(), now);
        }
        for (name, step) in todo {
            if let Err(failure) = self.act(radar, &name, &step, None, &there.items).await {
                tracing::warn!(pack = name, %failure, "a pack that is desired no more stays for now");
                told.insert(name, failure.told());
            }
        }
        told
    }

    async fn act(
        &self,
        radar: &Path,
        name: &str,
        step: &Step,
        wish: Option<&Wish>,
        there: &[Pack],
    ) -> Result<(), Failure> {
        let at = format!("/api/radar/packs/{}", escaped(name));
        match (step, wish) {
            (Step::Install, Some(wish)) => {
                let archive = self.fetch(&wish.sha256).await?;
                let before = self.own().await.map_err(Failure::Wrong)?.get(name).copied();
                // Marked first: what is there if this is interrupted came from the cloud, and is not what is desired yet.
                self.note(name, before.or(Some(Hash::ZERO))).await?;
                let path = format!("{at}?version={}", escaped(&wish.version));
                let installed = self.ask::<Pack>(radar, Method::PUT, &path, archive.into()).await;
                // An archive that was not taken leaves there what was there.
                self.note(name, if installed.is_ok() { Some(wish.sha256) } else { before }).await?;
                let installed = installed?;
                tracing::info!(
                    pack = name,
                    version = wish.version,
                    rules = installed.rules,
                    "a desired pack is installed"
                );
                if installed.enabled { Ok(()) } else { self.switch(radar, &at, true).await }
            }
            (Step::Switch(enabled), _) => self.switch(radar, &at, *enabled).await,
            (Step::Install | Step::Remove, _) => {
                if there.iter().any(|pack| pack.name == name) {
                    self.ask::<Value>(radar, Method::DELETE, &at, Body::empty()).await?;
                }
                self.note(name, None).await
            }
        }
    }

    async fn switch(&self, radar: &Path, at: &str, enabled: bool) -> Result<(), Failure> {
        let change = serde_json::to_vec(&PackChange { enabled }).map_err(|e| Failure::Wrong(e.to_string()))?;
        self.ask::<Pack>(radar, Method::PATCH, at, change.into()).await.map(|_| ())
    }

    async fn fetch(&self, archive: &Hash) -> Result<Vec<u8>, Failure> {
        let Some(handle) = self.sync.handle() else {
            return Err(Failure::Later("the archive is fetched once the cloud is in reach".to_owned()));
        };
        handle.object(archive, MOST_ARCHIVE).await.map_err(|fault| match fault {
            Fault::Network(cause) | Fault::Unavailable(cause) => {
                Failure::Later(format!("the archive cannot be fetched now: {cause}"))
            }
            Fault::Refused(cause)
            | Fault::TooLarge(cause)
            | Fault::Revoked(cause)
            | Fault::Untrusted(cause)
            | Fault::Local(cause) => Failure::Wrong(format!("the archive cannot be fetched: {cause}")),
        })
    }

    /// Which packs came from the cloud.
    async fn own(&self) -> Result<Own, String> {
        let text = self.store.state(FROM_CLOUD).await.map_err(|e| e.to_string())?;
        text.map_or_else(|| Ok(Own::new()), |text| serde_json::from_str(&text).map_err(|e| e.to_string()))
    }

    async fn note(&self, name: &str, archive: Option<Hash>) -> Result<(), Failure> {
        let mut own = self.own().await.map_err(Failure::Wrong)?;
        match archive {
            Some(archive) => own.insert(name.to_owned(), archive),
            None => own.remove(name),
        };
        let text = serde_json::to_string(&own).map_err(|e| Failure::Wrong(e.to_string()))?;
        self.store.set_state(FROM_CLOUD, &text).await.map_err(|e| Failure::Wrong(e.to_string()))
    }

    /// Asks radar, as the cloud.
    async fn ask<T: DeserializeOwned>(
        &self,
        radar: &Path,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<T, Failure> {
        let asked = tokio::time::timeout(PATIENCE, self.answered(radar, method, path, body)).await;
        asked.unwrap_or_else(|_| Err(Failure::Later(format!("radar gave no answer within {} s", PATIENCE.as_secs()))))
    }

    async fn answered<T: DeserializeOwned>(
        &self,
        radar: &Path,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<T, Failure> {
        let wrong = |e: &dyn std::fmt::Display| Failure::Wrong(e.to_string());
        let later = |e: &dyn std::fmt::Display| Failure::Later(format!("radar does not answer: {e}"));
        let organization = self.store.identity().map_err(|e| wrong(&e))?.organization;
        let scope = serde_json::to_vec(&Scope::cloud(organization, &**self.store.clock())).map_err(|e| wrong(&e))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(SCOPE, HeaderValue::from_bytes(&scope).map_err(|e| wrong(&e))?)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| wrong(&e))?;
        let answer = forward::ask(radar, request).await.map_err(|e| later(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_ANSWER).collect().await.map_err(|e| later(&e))?.to_bytes();
        if status.is_success() {
            let body: &[u8] = if body.is_empty() { b"null" } else { &body };
            return serde_json::from_slice(body).map_err(|e| wrong(&e));
        }
        let words =
            serde_json::from_slice::<ApiError>(&body).map_or_else(|_| status.to_string(), |error| error.message);
        if status.is_server_error() { Err(Failure::Later(words)) } else { Err(Failure::Wrong(words)) }
    }
}

fn escaped(text: &str) -> String {
    // Blanks are `+` in forms only; in a path they are written out.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish(version: u8, enabled: bool) -> Wish {
        Wish { version: version.to_string(), sha256: Hash([version; 32]), enabled }
    }

    fn pack(name: &str, version: u8, enabled: bool) -> Pack {
        Pack { name: name.to_owned(), version: version.to_string(), enabled, rules: 1, installed_at: 0 }
    }

    #[test]
    fn a_document_is_read_pack_by_pack() {
        let good = json!({ "version": "1", "sha256": Hash([7; 32]), "enabled": true });
        let document = json!({ "radar": { "packs": { "core": good, "odd": { "version": 1 }, "worse": 5 } } });
        let board = Board::default();
        let refused = board.apply(&document);
        assert_eq!(refused.keys().collect::<Vec<_>>(), ["radar.packs.odd", "radar.packs.worse"]);
        assert_eq!(board.report()["core"]["state"], "waiting");
        // What was told of another version is not told of this one.
        let told = BTreeMap::from([("core".to_owned(), Told { state: "running", cause: String::new() })]);
        assert!(board.tell(&Wishes::from([("core".to_owned(), wish(1, true))]), told.clone()));
        assert_eq!(board.report()["core"]["state"], "waiting");
        board.tell(&board.wishes.borrow().clone(), told);
        assert_eq!(board.report()["core"]["state"], "running");
        for nothing in [json!({}), json!({ "radar": 5 }), json!({ "radar": { "packs": [] } }), json!(null)] {
            assert_eq!(read(&nothing), (Wishes::new(), BTreeMap::new()));
        }
    }

    #[test]
    fn what_somebody_installed_at_the_box_stays() {
        let there = [pack("theirs", 1, true), pack("core", 1, true)];
        assert!(steps(&Wishes::new(), &there, &Own::new()).is_empty());
        // Unless its name is desired, whatever its version says.
        let wishes = Wishes::from([("core".to_owned(), wish(1, true))]);
        assert_eq!(steps(&wishes, &there, &Own::new()), BTreeMap::from([("core".to_owned(), Step::Install)]));
        assert!(steps(&wishes, &there, &Own::from([("core".to_owned(), Hash([1; 32]))])).is_empty());
    }

    #[test]
    fn what_is_off_is_not_fetched() {
        let wishes = Wishes::from([("core".to_owned(), wish(2, false))]);
        assert!(steps(&wishes, &[], &Own::new()).is_empty());
        let own = Own::from([("core".to_owned(), Hash([1; 32]))]);
        let off = BTreeMap::from([("core".to_owned(), Step::Switch(false))]);
        assert_eq!(steps(&wishes, &[pack("core", 1, true)], &own), off);
    }

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(escaped("a b/c&d+é"), "a%20b%2Fc%26d%2B%C3%A9");
    }

    proptest! {
        /// Doing every step leads to what is desired, leaves the others alone, and leaves nothing more to do.
        #[test]
        fn steps_lead_to_what_is_desired(
            wishes in prop::collection::btree_map("[a-d]", (1u8..4, any::<bool>()), 0..4),
            there in prop::collection::btree_map("[a-f]", (1u8..4, any::<bool>()), 0..5),
            own in prop::collection::btree_map("[a-d]", 1u8..4, 0..4),
        ) {
            let wishes: Wishes = wishes.into_iter().map(|(name, (version, on))| (name, wish(version, on))).collect();
            let mut packs: Vec<Pack> = there.iter().map(|(name, (version, on))| pack(name, *version, *on)).collect();
            let mut own: Own = own.into_iter().map(|(name, version)| (name, Hash([version; 32]))).collect();
            let others: Vec<Pack> =
                packs.iter().filter(|p| !wishes.contains_key(&p.name) && !own.contains_key(&p.name)).cloned().collect();
            for (name, step) in steps(&wishes, &packs, &own) {
                match step {
                    Step::Install => {
                        let wish = &wishes[&name];
                        packs.retain(|p| p.name != name);
                        packs.push(Pack { name: name.clone(), version: wish.version.clone(), enabled: true, rules: 1, installed_at: 0 });
                        own.insert(name, wish.sha256);
                    }
                    Step::Switch(on) => packs.iter_mut().filter(|p| p.name == name).for_each(|p| p.enabled = on),
                    Step::Remove => {
                        packs.retain(|p| p.name != name);
                        own.remove(&name);
                    }
                }
            }
            prop_assert!(steps(&wishes, &packs, &own).is_empty());
            for (name, wish) in &wishes {
                let runs = packs.iter().any(|p| p.name == *name && p.enabled && p.version == wish.version);
                let silent = !packs.iter().any(|p| p.name == *name && p.enabled);
                let is_so = if wish.enabled { runs } else { silent };
                prop_assert!(is_so, "{}", name);
            }
            for other in others {
                prop_assert!(packs.contains(&other));
            }
        }
    }
}
