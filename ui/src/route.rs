//! Where a person can be. Filters, ranges and selections stand in the query string beside it (`data::use_query`).

use yew_router::prelude::*;

/// The address of every page of both faces.
#[derive(Clone, Debug, PartialEq, Routable)]
pub enum Route {
    /// The box's state, or the fleet's list.
    #[at("/")]
    Home,
    /// Box: posted entries.
    #[at("/journal")]
    Journal,
    /// Box: a new entry.
    #[at("/journal/new")]
    NewEntry,
    /// Box: entries out of a CSV file.
    #[at("/journal/import")]
    Import,
    /// Box: one entry.
    #[at("/journal/:id")]
    Entry {
        /// Entry's id.
        id: String,
    },
    /// Box: chart of accounts.
    #[at("/accounts")]
    Accounts,
    /// Box: balances at a date.
    #[at("/trial-balance")]
    TrialBalance,
    /// Reference data: chart, items, taxes, rates, settings. Fleet: of a customer.
    #[at("/reference")]
    Reference,
    /// Box: what is measured.
    #[at("/monitoring")]
    Hosts,
    /// Box: what is checked.
    #[at("/monitoring/checks")]
    Checks,
    /// Box: series drawn.
    #[at("/monitoring/charts")]
    Charts,
    /// Box: alerts and silences. Fleet: alerts that boxes report.
    #[at("/alerts")]
    Alerts,
    /// Box: alert rules.
    #[at("/monitoring/rules")]
    Rules,
    /// Box: reports, their schedules and looks.
    #[at("/reports")]
    Reports,
    /// Box: what rules found in the logs, live. Fleet: the same over all branches.
    #[at("/security")]
    Security,
    /// Box: cases.
    #[at("/security/cases")]
    Cases,
    /// Box: one case.
    #[at("/security/cases/:id")]
    Case {
        /// Case's id.
        id: String,
    },
    /// Box: Sigma rules, packs, exceptions, a place to try them.
    #[at("/security/rules")]
    Detection,
    /// Box: search over the logs.
    #[at("/logs")]
    Logs,
    /// Box: who talks to what. Fleet: devices and what is wrong with them, over all branches.
    #[at("/network")]
    Network,
    /// Box: devices on the network.
    #[at("/network/devices")]
    Devices,
    /// Box: one device.
    #[at("/network/devices/:mac")]
    Device {
        /// MAC address.
        mac: String,
    },
    /// Box: what looked like trouble on the wire.
    #[at("/network/detections")]
    Detections,
    /// Box: certificates that servers showed.
    #[at("/network/certificates")]
    Certificates,
    /// Box: interfaces, and the packets kept on disk.
    #[at("/network/capture")]
    Capture,
    /// Fleet: packs of rules, and where they run.
    #[at("/packs")]
    Packs,
    /// Box: the queue to the cloud, and its cause.
    #[at("/sync")]
    Sync,
    /// Fleet: boxes.
    #[at("/boxes")]
    Boxes,
    /// Fleet: one box.
    #[at("/boxes/:id")]
    Machine {
        /// Box id.
        id: String,
    },
    /// Fleet: organisations and their branches.
    #[at("/customers")]
    Customers,
    /// Fleet: entries as projected.
    #[at("/entries")]
    Entries,
    /// Fleet: proposals of branches.
    #[at("/proposals")]
    Proposals,
    /// Box: what a restore could not take back. Fleet: transactions that could not be projected.
    #[at("/quarantine")]
    Quarantine,
    /// The audit chain.
    #[at("/audit")]
    Audit,
    /// Users and roles.
    #[at("/users")]
    Users,
    /// The person's own account.
    #[at("/me")]
    Account,
    /// Effective settings.
    #[at("/settings")]
    Settings,
    /// Nothing stands here.
    #[not_found]
    #[at("/404")]
    Missing,
}

impl Route {
    /// The rail's entry that is lit on this page.
    pub fn place(&self, fleet: bool) -> Route {
        match self {
            Route::Home if fleet => Route::Boxes,
            Route::Quarantine if !fleet => Route::Sync,
            Route::NewEntry | Route::Import | Route::Entry { .. } => Route::Journal,
            Route::Checks | Route::Charts | Route::Rules => Route::Hosts,
            Route::Machine { .. } => Route::Boxes,
            Route::Cases | Route::Case { .. } | Route::Detection => Route::Security,
            Route::Devices | Route::Device { .. } | Route::Detections | Route::Certificates | Route::Capture => {
                Route::Network
            }
            other => other.clone(),
        }
    }
}
