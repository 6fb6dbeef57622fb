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
    /// What the bar and the window's title say.
    pub fn title(&self, fleet: bool) -> (&'static str, &'static str) {
        match self {
            Route::Home if fleet => ("Fleet", "Boxes"),
            Route::Home => ("", "Home"),
            Route::Journal => ("Finance", "Journal"),
            Route::NewEntry => ("Finance", "New entry"),
            Route::Import => ("Finance", "Import"),
            Route::Entry { .. } => ("Finance", "Entry"),
            Route::Accounts => ("Finance", "Accounts"),
            Route::TrialBalance => ("Finance", "Trial balance"),
            Route::Reference => (if fleet { "Fleet" } else { "Finance" }, "Reference data"),
            Route::Hosts => ("Monitoring", "Hosts"),
            Route::Checks => ("Monitoring", "Checks"),
            Route::Charts => ("Monitoring", "Charts"),
            Route::Alerts if fleet => ("Fleet", "Alerts"),
            Route::Alerts => ("Monitoring", "Alerts"),
            Route::Rules => ("Monitoring", "Rules"),
            Route::Sync => ("Box", "Sync"),
            Route::Boxes => ("Fleet", "Boxes"),
            Route::Machine { .. } => ("Fleet", "Box"),
            Route::Customers => ("Fleet", "Customers"),
            Route::Entries => ("Fleet", "Entries"),
            Route::Proposals => ("Fleet", "Proposals"),
            Route::Quarantine => (if fleet { "Fleet" } else { "Box" }, "Quarantine"),
            Route::Audit => (if fleet { "Fleet" } else { "Box" }, "Audit"),
            Route::Users => (if fleet { "Fleet" } else { "Box" }, "Users"),
            Route::Account => ("", "My account"),
            Route::Settings => (if fleet { "Fleet" } else { "Box" }, "Settings"),
            Route::Missing => ("", "Not found"),
        }
    }

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
