use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    Connection, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::error::{Error, Result};
use crate::domain::Event;

/// Connections to PostgreSQL per server.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// Readers of the SQLite file; it has one writer.
const SQLITE_READERS_MAX: u32 = 4;
/// Rows of an older database that are brought up to date at a time.
const FILLED_PER_TRANSACTION: usize = 5000;
/// Wait for a free connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait for another process that holds the SQLite file, a backup say.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The database, chosen by URL.
#[derive(Clone, Debug)]
pub enum Db {
    Postgres(PgPool),
    /// One connection writes, so that writers queue instead of failing with "busy".
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
}

/// How many connections this server has to its database, and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    pub busy: u32,
    pub idle: u32,
    pub max: u32,
}

/// A unit of work. Dropped without [`Tx::commit`], it rolls back.
pub struct Tx {
    pub(super) inner: TxInner,
    /// What to tell once this is committed.
    pub(super) events: Vec<Event>,
}

pub(super) enum TxInner {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// Runs the same expression with `$conn` being a connection to either database.
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match &mut $tx.inner {
            $crate::store::db::TxInner::Postgres(transaction) => {
                let $conn = &mut **transaction;
                $body
            }
            $crate::store::db::TxInner::Sqlite(transaction) => {
                let $conn = &mut **transaction;
                $body
            }
        }
    };
}

/// Like `on!`, with a SELECT whose rows stay locked until the transaction ends. SQLite has one
/// writer: its transaction *is* the lock.
macro_rules! on_locked {
    ($tx:expr, [$($sql:expr),+], $lock:literal, |$query:ident, $conn:ident| $body:expr) => {
        match &mut $tx.inner {
            $crate::store::db::TxInner::Postgres(transaction) => {
                let $query = concat!($($sql),+, " ", $lock);
                let $conn = &mut **transaction;
                $body
            }
            $crate::store::db::TxInner::Sqlite(transaction) => {
                let $query = concat!($($sql),+);
                let $conn = &mut **transaction;
                $body
            }
        }
    };
}

impl Db {
    /// Connects to `url` (`postgres://…` or `sqlite:PATH`) and brings the schema up to date.
    pub async fn open(url: &str) -> Result<Db> {
        let db = Self::connect(url).await?;
        db.migrate().await?;
        db.fill_older_gateways().await?;
        Ok(db)
    }

    async fn connect(url: &str) -> Result<Db> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS_MAX)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_with(PgConnectOptions::from_str(url)?.application_name("airlift"))
                .await?;
            return Ok(Db::Postgres(pool));
        }
        if !url.starts_with("sqlite:") {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(Error::UnknownScheme(scheme.to_owned()));
        }
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was accepted survives a power cut, not only a crash.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(SQLITE_BUSY_TIMEOUT);
        if let Some(folder) = options.get_filename().parent() {
            create_folder(folder)?;
        }
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(SQLITE_BUSY_TIMEOUT)
                // There is no line that could be dead.
                .test_before_acquire(false)
                // On a full disk SQLite itself rolls back, sqlx's rollback then fails, and the
                // connection would count as in a transaction for ever.
                .after_release(|connection, _| {
                    Box::pin(async move {
                        connection.ping().await?;
                        Ok(!connection.is_in_transaction())
                    })
                })
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(SQLITE_READERS_MAX).connect_lazy_with(options.read_only(true));
        Ok(Db::Sqlite { writer, readers })
    }

    async fn migrate(&self) -> Result<()> {
        match self {
            Db::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await?,
            Db::Sqlite { writer, .. } => sqlx::migrate!("migrations/sqlite").run(writer).await?,
        }
        Ok(())
    }

    /// What a migration can't compute in SQL.
    async fn fill_older_gateways(&self) -> Result<()> {
        let mut gateways = 0;
        loop {
            let mut tx = self.begin().await?;
            let filled = tx.fill_older_gateways(FILLED_PER_TRANSACTION).await?;
            tx.commit().await?;
            gateways += filled;
            if filled < FILLED_PER_TRANSACTION {
                break;
            }
            tracing::info!(gateways, "rows of an older airlift are brought up to date");
        }
        Ok(())
    }

    /// A transaction that may write.
    pub async fn begin(&self) -> Result<Tx> {
        let inner = match self {
            Db::Postgres(pool) => TxInner::Postgres(pool.begin().await?),
            Db::Sqlite { writer, .. } => {
                TxInner::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
            }
        };
        Ok(Tx::new(inner))
    }

    /// A transaction that only reads; on SQLite it does not wait for the writer.
    pub async fn read(&self) -> Result<Tx> {
        let inner = match self {
            Db::Postgres(pool) => TxInner::Postgres(pool.begin().await?),
            Db::Sqlite { readers, .. } => TxInner::Sqlite(readers.begin().await?),
        };
        Ok(Tx::new(inner))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        let mut tx = self.read().await?;
        on!(tx, |conn| sqlx::query("SELECT 1")
            .execute(conn)
            .await
            .map(drop))?;
        tx.commit().await
    }

    /// Whether this process has the database to itself.
    pub fn is_embedded(&self) -> bool {
        matches!(self, Db::Sqlite { .. })
    }

    pub fn connections(&self) -> Connections {
        let of = |open: u32, idle: usize, max| {
            let idle = u32::try_from(idle).unwrap_or(open).min(open);
            let busy = open - idle;
            Connections { busy, idle, max }
        };
        match self {
            Db::Postgres(pool) => of(pool.size(), pool.num_idle(), POSTGRES_CONNECTIONS_MAX),
            Db::Sqlite { writer, readers } => of(
                writer.size() + readers.size(),
                writer.num_idle() + readers.num_idle(),
                1 + SQLITE_READERS_MAX,
            ),
        }
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        match self {
            Db::Postgres(pool) => pool.close().await,
            Db::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::Unavailable(sqlx::Error::Io(error)))
}

impl Tx {
    fn new(inner: TxInner) -> Tx {
        Tx {
            inner,
            events: Vec::new(),
        }
    }

    pub async fn commit(mut self) -> Result<()> {
        self.write_events().await?;
        match self.inner {
            TxInner::Postgres(transaction) => transaction.commit().await?,
            TxInner::Sqlite(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}
