//! The only place that names every engine.

use std::{path::PathBuf, sync::Arc};

use sent_core::{
    clock::SystemClock,
    engine::{Description, Engine},
    live::Hub,
    mail::Mailer,
    report::Sources,
    table::Table,
};
use sent_store::{Config, Context, Store, StoreError, spool::Spool};

use crate::{desired::Knobs, settings::Settings, telemetry::Measurements};

/// What is constant about every engine.
pub const ALL: &[Description] = &[
    sent_capital::DESCRIPTION,
    sent_guard::DESCRIPTION,
    sent_pulse::DESCRIPTION,
    sent_radar::DESCRIPTION,
    sent_shield::DESCRIPTION,
];

/// Tables of every engine.
pub fn tables() -> Vec<Table> {
    ALL.iter().flat_map(|d| d.tables.iter().copied()).collect()
}

/// An engine by name. `None`: there is none of that name.
pub fn build(name: &str, context: &Context, knobs: &Knobs) -> Option<Result<Arc<dyn Engine>, String>> {
    match name {
        "capital" => Some(Ok(Arc::new(sent_capital::Capital::new(context.store.clone())))),
        "guard" => Some(guard(context)),
        "pulse" => Some(pulse(context, knobs)),
        "radar" => Some(radar(context)),
        "shield" => Some(Ok(Arc::new(shield(context)))),
        _ => None,
    }
}

fn pulse(context: &Context, knobs: &Knobs) -> Result<Arc<dyn Engine>, String> {
    let measurements = Measurements::follow(
        &context.folder,
        context.spool.clone(),
        context.clock.clone(),
        knobs.retention.subscribe(),
    )?;
    let measurements = Arc::new(measurements);
    let parts = sent_pulse::Parts {
        store: context.store.clone(),
        hub: context.hub.clone(),
        organization: context.organization,
        sink: measurements.clone(),
        reader: measurements,
        mail: context.mail.clone(),
        settings: sent_pulse::settings::Settings::read(&context.settings).map_err(|e| e.to_string())?,
        interval: knobs.interval.subscribe(),
    };
    Ok(Arc::new(sent_pulse::Pulse::new(parts).map_err(|e| e.to_string())?))
}

fn shield(context: &Context) -> sent_shield::Shield {
    sent_shield::Shield::new(sent_shield::Parts {
        store: context.store.clone(),
        organization: context.organization,
        folder: context.folder.clone(),
        mail: context.mail.clone(),
        sources: context.sources.clone(),
    })
}

fn guard(context: &Context) -> Result<Arc<dyn Engine>, String> {
    let parts = sent_guard::Parts {
        store: context.store.clone(),
        organization: context.organization,
        folder: context.folder.clone(),
        settings: sent_guard::settings::Settings::read(&context.settings).map_err(|e| e.to_string())?,
    };
    Ok(Arc::new(sent_guard::Guard::new(parts).map_err(|e| e.to_string())?))
}

fn radar(context: &Context) -> Result<Arc<dyn Engine>, String> {
    let mut settings = sent_radar::settings::Settings::read(&context.settings).map_err(|e| e.to_string())?;
    // What guard sees on the wire is searched and asked rules of as everything else is.
    settings.files.push(context.store.data().join("guard").join(sent_guard::EVE).display().to_string());
    let parts = sent_radar::Parts {
        store: context.store.clone(),
        hub: context.hub.clone(),
        organization: context.organization,
        folder: context.folder.clone(),
        settings,
    };
    Ok(Arc::new(sent_radar::Radar::new(parts).map_err(|e| e.to_string())?))
}

/// Opens the store of a data folder with every engine's tables.
pub fn open_store(data: PathBuf, settings: &Settings) -> Result<Store, StoreError> {
    Store::open(Config { data, tables: tables(), clock: SystemClock::shared(), readers: settings.store.readers })
}

/// What an engine is handed.
pub fn context(
    store: &Store,
    settings: &Settings,
    hub: Arc<Hub>,
    spool: Arc<Spool>,
    sources: Arc<dyn Sources>,
    name: &str,
) -> Result<Context, StoreError> {
    let folder = store.data().join(name);
    std::fs::create_dir_all(&folder).map_err(|e| StoreError::io(&folder, e))?;
    let section = match name {
        "guard" => toml::Table::try_from(&settings.guard).map_err(|e| StoreError::Corrupt(e.to_string()))?,
        "pulse" => toml::Table::try_from(&settings.pulse).map_err(|e| StoreError::Corrupt(e.to_string()))?,
        "radar" => toml::Table::try_from(&settings.radar).map_err(|e| StoreError::Corrupt(e.to_string()))?,
        _ => toml::Table::new(),
    };
    Ok(Context {
        store: store.clone(),
        clock: store.clock().clone(),
        hub,
        spool,
        folder,
        organization: store.identity()?.organization,
        mail: Mailer::new(&settings.mail).map_err(|e| StoreError::Corrupt(e.to_string()))?.map(Arc::new),
        sources,
        settings: Arc::new(section),
    })
}
