use sqlx::{
    error::{DatabaseError, ErrorKind},
    migrate::MigrateError,
    postgres::PgDatabaseError,
};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a service and its database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row with this key is there already.
    #[error("the row violates a unique key")]
    Duplicate,
    /// The database can't be reached or did not answer; trying again later may help.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A stored value that this version can't read.
    #[error("{table}.{column} of {row} holds {value:?}, which this version of airlift can't read")]
    BadRow {
        table: &'static str,
        column: &'static str,
        row: String,
        value: String,
    },
    #[error("the database URL must begin with postgres:// or sqlite:, not {0:?}")]
    UnknownScheme(String),
    #[error(
        "the database has schema {0}, which is newer than this version of airlift knows: \
         run the airlift that made it, or a later one"
    )]
    NewerSchema(i64),
    #[error("the database could not be migrated: {0}")]
    Migrate(#[source] MigrateError),
    #[error("the database refused a statement: {0}")]
    Database(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_))
    }
}

/// PostgreSQL: 08 connection, 40 rollback (deadlock, serialization), 53 resources, 57P shutdown.
const TRANSIENT_SQLSTATES: [&str; 4] = ["08", "40", "53", "57P"];
/// SQLite: 5 busy, 6 locked, 10 I/O, 13 disk full. The low byte of a code is its class.
const TRANSIENT_SQLITE_CODES: [u32; 4] = [5, 6, 10, 13];

fn is_transient(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    match error.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => TRANSIENT_SQLSTATES
            .iter()
            .any(|class| code.starts_with(class)),
        None => code
            .parse::<u32>()
            .is_ok_and(|code| TRANSIENT_SQLITE_CODES.contains(&(code & 0xff))),
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.kind() == ErrorKind::UniqueViolation => {
                Error::Duplicate
            }
            sqlx::Error::Database(database) if is_transient(database.as_ref()) => {
                Error::Unavailable(error)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Error::Unavailable(error),
            _ => Error::Database(error),
        }
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Error::NewerSchema(version),
            MigrateError::Execute(error) => error.into(),
            other => Error::Migrate(other),
        }
    }
}
