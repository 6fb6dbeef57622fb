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
            other => other.clone(),
        }
    }
}
