//! PostgreSQL, and the only way to it: a transaction that knows whose rows it may see.
//!
//! Every connection has dropped to the role `sent_app`, which row-level security binds; every transaction begins by
//! saying whose it is ([`Tenancy`]), in the same round trip as `BEGIN`. A transaction without a tenancy sees nothing.
//!
//! A transaction under way must not be dropped because a caller hung up: a connection whose answers were not all read
//! (COPY above all) would give the next borrower those of the one before. Both ports therefore run every request to its end
//! ([`run_to_end`]), whoever still listens.

mod prompt;

use std::{str::FromStr, time::Duration};

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use sqlx::{
    AssertSqlSafe, Executor, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use crate::{error::Result, settings};

/// The connection of a transaction, or of a savepoint in one.
pub type Tx = PgConnection;

/// Whose rows a transaction sees and may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// One organisation: a box's own request.
    One(Uuid),
    /// An MSP with its customers: the console, and a box that moves from one of them to another.
    Tree(Uuid),
    /// Every organisation: background work that walks them all.
    All,
}

impl Tenancy {
    fn setting(self) -> String {
        match self {
            Self::One(id) => id.to_string(),
            Self::Tree(id) => format!("tree:{id}"),
            Self::All => "*".to_owned(),
        }
    }
}

/// The pool.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
}

impl Db {
    /// Connects as the program does, bound by row-level security.
    pub async fn connect(settings: &settings::Database) -> Result<Self> {
        let options = options(&settings.url)?;
        let port = options.get_port();
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                prompt::send_at_once(port);
                Box::pin(async move { connection.execute("SET ROLE sent_app").await.map(|_| ()) })
            })
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// The pool itself, for listeners and health.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins a transaction for `tenancy`.
    pub async fn begin(&self, tenancy: Tenancy) -> Result<Transaction<'static, Postgres>> {
        // A tenancy is made of UUIDs and fixed words only: nothing in it can end the quotes.
        let statement = format!("BEGIN; SET LOCAL sent.organizations = '{}'", tenancy.setting());
        Ok(self.pool.begin_with(AssertSqlSafe(statement)).await?)
    }

    /// Begins a transaction that sees only the row whose secret (or verified id) is presented.
    pub async fn begin_presented(&self, presented: &str) -> Result<Transaction<'static, Postgres>> {
        let mut tx = self.pool.begin_with("BEGIN; SET LOCAL sent.organizations = ''").await?;
        set(&mut tx, "sent.presented", presented).await?;
        Ok(tx)
    }
}

/// Middleware that runs a request to its end even when its caller is gone.
pub async fn run_to_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request ended unexpectedly");
            http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Gives a transaction its tenancy after it has found out whose it is.
pub async fn enter(tx: &mut Tx, tenancy: Tenancy) -> Result<()> {
    set(tx, "sent.organizations", &tenancy.setting()).await
}

/// Sets a setting of ours for the rest of the transaction.
pub async fn set(tx: &mut Tx, name: &str, value: &str) -> Result<()> {
    sqlx::query_scalar!("SELECT set_config($1, $2, true)", name, value).fetch_one(&mut *tx).await?;
    Ok(())
}

/// Connection options out of a URL.
pub fn options(url: &str) -> Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url)?.application_name("sent-cloud"))
}

/// A count or sequence as PostgreSQL keeps it. Values beyond `i64::MAX` cannot come from an honest peer.
pub fn to_i64(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| crate::error::Error::OutOfRange)
}

/// A count out of PostgreSQL, where the schema keeps it from being negative.
pub fn to_u64(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
