//! Rules: which run, what an event or the stored logs would set off, and packs of them.

use std::{collections::BTreeSet, ops::ControlFlow, sync::atomic::Ordering, time::Duration};

use sent_contract::{
    Page,
    radar::{Hit, Hunt, Hunted, Pack, Rule, RuleMatch, RuleTest, RuleTried},
};
use sent_core::{Problem, Scope};
use tokio_util::sync::CancellationToken;

use super::{Service, bounded, unfound};
use crate::{
    Scratch,
    document::Document,
    intake::{
        names::Interner,
        normalise::{Arrival, Form, Normaliser},
        record::{Batch, Record},
    },
    library::{PackError, Seen},
    model::{self, sighting},
    rules::{self, Loaded},
    search::{self, Cancel},
    store,
};

/// Between two looks at the rule files.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Matches that a hunt shows.
const MOST_HUNTED: usize = 200;
/// How long a hunt may take.
const HUNT: Duration = Duration::from_secs(25);

impl Service {
    /// The packs whose rules run.
    async fn packs_on(&self) -> Result<BTreeSet<String>, Problem> {
        let packs = self.parts.store.read(&self.scope(), store::packs).await?;
        Ok(packs.into_iter().filter(|pack| pack.enabled).map(|pack| pack.name).collect())
    }

    /// Loads the rules as they stand; what cannot be loaded is told, and the rules in force stay.
    pub(super) async fn load(&self) -> Seen {
        let packs = match self.packs_on().await {
            Ok(packs) => packs,
            Err(problem) => {
                self.in_trouble(format!("the rules cannot be read: {problem}"));
                return Seen::default();
            }
        };
        let library = self.library.clone();
        let loading = tokio::task::spawn_blocking(move || (library.look(&packs), library.load(&packs))).await;
        let (seen, loaded) = match loading {
            Ok((seen, Ok(loaded))) => (seen, loaded),
            Ok((seen, Err(error))) => {
                self.in_trouble(format!("the rules stay as they were: {error}"));
                return seen;
            }
            Err(error) => {
                self.in_trouble(format!("the rules cannot be loaded: {error}"));
                return Seen::default();
            }
        };
        let (rules, rows) = loaded;
        let broken = rows.iter().filter(|row| row.kind == "broken").count();
        for fault in rules.faults.iter().filter(|fault| !fault.runs) {
            tracing::warn!(rule = %fault, "a rule is broken and does not run");
        }
        tracing::info!(rules = rows.len() - broken, broken, "rules are in force");
        self.broken.store(broken as u64, Ordering::Relaxed);
        self.live.swap(rules);
        let scope = self.scope();
        match self.parts.store.write(&scope, "radar.rule.load", move |tx| store::put_rules(tx, &rows)).await {
            Ok(_) => self.out_of_trouble(),
            Err(error) => self.in_trouble(format!("which rules run cannot be written down: {error}")),
        }
        seen
    }

    /// Takes up rule files when they change.
    pub(super) async fn follow_rules(&self, mut seen: Seen, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let Ok(packs) = self.packs_on().await else { continue };
            let library = self.library.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || library.look(&packs)).await else { continue };
            if now != seen {
                seen = self.load().await;
            }
        }
    }

    /// Rules as they were last loaded.
    pub async fn rules(&self, scope: &Scope) -> Result<Page<Rule>, Problem> {
        let items = self.parts.store.read(scope, store::rules).await?;
        Ok(Page { total: Some(items.len() as u64), items, next: None })
    }

    /// Switches a rule.
    pub async fn enable_rule(&self, scope: &Scope, id: String, enabled: bool) -> Result<Rule, Problem> {
        let write = self.parts.store.write(scope, "radar.rule.enable", move |tx| store::enable_rule(tx, &id, enabled));
        let rule = write.await?.ok_or_else(|| Problem::not_found("rule"))?;
        self.hush().await?;
        Ok(rule)
    }

    /// What an event would set off.
    pub async fn try_rules(&self, test: RuleTest) -> Result<RuleTried, Problem> {
        bounded("event", &test.event, 1 << 20)?;
        let (live, names, options, now) = (self.live.keep(), self.names.clone(), self.options(), self.clock.now().0);
        let trying = move || -> Result<RuleTried, Problem> {
            let given = test.rules.as_deref().map(given).transpose()?;
            let loaded = given.as_ref().unwrap_or(&live);
            let faults = given.as_ref().map(told).unwrap_or_default();
            let form = if test.event.trim_start().starts_with('{') { Form::Json } else { Form::Syslog };
            let bytes = test.event.trim().as_bytes();
            let arrival = Arrival { source: "", received: now, form, cut: false, bytes };
            let mut batch = Batch::default();
            Normaliser::new(names, options).normalise(0, &arrival, &mut batch);
            let mut tried = RuleTried { faults, ..RuleTried::default() };
            let (mut document, mut scratch) = (Document::default(), Scratch::default());
            for record in batch.records() {
                tried.fields = sighting::fields(&record);
                let (text, routing) = document.of(&record);
                let found = loaded.rules.matches(text, routing, &mut scratch);
                let found = found.map_err(|e| Problem::field("event", e.to_string()))?;
                tried.matches.extend(found.iter().map(|rule| named(&loaded.rules.rules()[*rule as usize])));
            }
            Ok(tried)
        };
        tokio::task::spawn_blocking(trying).await.map_err(Problem::internal)?
    }

    /// Asks rules of the stored logs.
    pub async fn hunt(&self, hunt: Hunt) -> Result<Hunted, Problem> {
        let (logs, names) = (self.logs.clone(), self.names.clone());
        let cancel = Cancel::default();
        let ends = cancel.clone();
        let hunting = move || -> Result<Hunted, Problem> {
            let loaded = given(&hunt.rules)?;
            let mut hunted = Hunted { faults: told(&loaded), complete: true, ..Hunted::default() };
            let (mut document, mut scratch) = (Document::default(), Scratch::default());
            let each = |batch: &Batch| {
                for record in batch.records() {
                    let (text, routing) = document.of(&record);
                    let Ok(found) = loaded.rules.matches(text, routing, &mut scratch) else { continue };
                    hunted.matches += found.len() as u64;
                    for rule in found {
                        if hunted.hits.len() < MOST_HUNTED {
                            let rule = named(&loaded.rules.rules()[*rule as usize]);
                            hunted.hits.push((rule, hit_of(&record)));
                        }
                    }
                }
                ControlFlow::Continue(())
            };
            let mut interner = Interner::new(names);
            let replayed = logs.replay(&search::query::Query::All, hunt.from..hunt.to, &mut interner, &cancel, each);
            match replayed {
                Ok(lines) => hunted.lines = lines,
                // What was ended is not all there is.
                Err(_) if cancel.is_cancelled() => {}
                Err(error) => return Err(unfound(error)),
            }
            hunted.complete = !cancel.is_cancelled();
            Ok(hunted)
        };
        let mut running = tokio::task::spawn_blocking(hunting);
        match tokio::time::timeout(HUNT, &mut running).await {
            Ok(hunted) => hunted.map_err(Problem::internal)?,
            Err(_) => {
                ends.cancel();
                running.await.map_err(Problem::internal)?
            }
        }
    }

    /// Packs by name.
    pub async fn packs(&self, scope: &Scope) -> Result<Page<Pack>, Problem> {
        let items = self.parts.store.read(scope, store::packs).await?;
        Ok(Page { items, next: None, total: None })
    }

    /// Installs a pack, in place of another version of it.
    pub async fn install(
        &self,
        scope: &Scope,
        name: String,
        version: String,
        archive: Vec<u8>,
    ) -> Result<Pack, Problem> {
        bounded("version", &version, 100)?;
        let library = self.library.clone();
        let folder = name.clone();
        let installed = tokio::task::spawn_blocking(move || library.install(&folder, &archive)).await;
        installed.map_err(Problem::internal)?.map_err(refused)?;
        let row = name.clone();
        let write = move |tx: &sent_store::Tx<'_>| store::put_pack(tx, &row, &version);
        self.parts.store.write(scope, "radar.pack.install", write).await?;
        self.load().await;
        self.pack(scope, &name).await
    }

    /// Switches a pack.
    pub async fn enable_pack(&self, scope: &Scope, name: String, enabled: bool) -> Result<Pack, Problem> {
        let row = name.clone();
        let write = self.parts.store.write(scope, "radar.pack.enable", move |tx| store::enable_pack(tx, &row, enabled));
        if !write.await? {
            return Err(Problem::not_found("pack"));
        }
        self.load().await;
        self.pack(scope, &name).await
    }

    /// Removes a pack and its rules.
    pub async fn remove_pack(&self, scope: &Scope, name: String) -> Result<(), Problem> {
        let row = name.clone();
        let gone = self.parts.store.write(scope, "radar.pack.remove", move |tx| store::delete_pack(tx, &row)).await?;
        if !gone {
            return Err(Problem::not_found("pack"));
        }
        self.library.remove(&name).map_err(refused)?;
        self.load().await;
        Ok(())
    }

    async fn pack(&self, scope: &Scope, name: &str) -> Result<Pack, Problem> {
        let packs = self.parts.store.read(scope, store::packs).await?;
        packs.into_iter().find(|pack| pack.name == name).ok_or_else(|| Problem::not_found("pack"))
    }
}

fn hit_of(record: &Record<'_>) -> Hit {
    Hit {
        at: record.time(),
        received: record.received(),
        position: record.position(),
        message: record.message().unwrap_or_default().to_owned(),
        original: record.text().to_owned(),
        fields: sighting::fields(record),
    }
}

fn refused(error: PackError) -> Problem {
    match error {
        PackError::Write(_) => Problem::internal(error),
        _ => Problem::invalid(error.to_string()),
    }
}

/// Rules out of a text that somebody wrote.
fn given(text: &str) -> Result<Loaded, Problem> {
    bounded("rules", text, 1 << 20)?;
    rules::load_text(std::path::Path::new("rules"), text, &[]).map_err(|e| Problem::field("rules", e.to_string()))
}

fn told(loaded: &Loaded) -> Vec<String> {
    loaded.faults.iter().map(|fault| format!("line {}: {}", fault.place.line, fault.message)).collect()
}

fn named(rule: &model::Rule) -> RuleMatch {
    RuleMatch {
        rule: sighting::identity(rule),
        title: rule.title.clone(),
        severity: sighting::severity(rule.level).to_owned(),
        author: rule.author.clone().unwrap_or_default(),
    }
}
