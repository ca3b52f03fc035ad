//! An empty database for one test.

use std::env;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::postgres::psql;
use crate::{Durability, Postgres};

/// Environment variable with the URL of the cluster that `./test.sh` starts once for all test
/// processes. It must belong to a superuser.
pub const TEST_POSTGRES_URL: &str = "AIRLIFT_TEST_POSTGRES_URL";

/// The cluster of this process when no other is given; ends with the last database in it.
static OWN: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

/// A new database `airlift_test_…`, dropped with this value even if connections are still open.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
    /// Keeps the process's own cluster alive, if that is where the database is.
    _own: Option<Arc<Postgres>>,
}

impl TestDatabase {
    /// Makes the database in the cluster of [`TEST_POSTGRES_URL`], or else in one of this process.
    ///
    /// # Errors
    /// When there is no cluster and none can be started. It never lets a test pass by skipping.
    pub fn create() -> Result<Self> {
        let (admin_url, own) = match env::var(TEST_POSTGRES_URL) {
            Ok(url) if !url.is_empty() => (url, None),
            _ => {
                let cluster = own_cluster()?;
                (cluster.url(), Some(cluster))
            }
        };
        let name = format!("airlift_test_{}", Uuid::new_v4().simple());
        let url = with_database(&admin_url, &name).with_context(|| {
            format!("{TEST_POSTGRES_URL} must look like postgres://user@host:port/database")
        })?;
        // template0 has no connections that would be in the way.
        psql(
            &admin_url,
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .with_context(|| {
            format!("making a test database; {TEST_POSTGRES_URL} must name a running cluster")
        })?;
        Ok(Self {
            name,
            url,
            admin_url,
            _own: own,
        })
    }

    /// The URL to connect to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `sql` in the database with `psql`; gives rows as lines, columns parted by `|`.
    ///
    /// # Errors
    /// With the server's words when the statement fails.
    pub fn psql(&self, sql: &str) -> Result<String> {
        psql(&self.url, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Err(error) = psql(
            &self.admin_url,
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        ) {
            eprintln!("the test database {} stays behind: {error:#}", self.name);
        }
    }
}

fn own_cluster() -> Result<Arc<Postgres>> {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = own.upgrade() {
        return Ok(cluster);
    }
    let cluster = Arc::new(Postgres::start(Durability::Fast)?);
    *own = Arc::downgrade(&cluster);
    Ok(cluster)
}

/// `url` with another database name; its parameters stay.
fn with_database(url: &str, name: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (rest, parameters) = rest
        .split_once('?')
        .map_or((rest, None), |(rest, text)| (rest, Some(text)));
    let server = rest.split('/').next()?;
    let parameters = parameters
        .map(|text| format!("?{text}"))
        .unwrap_or_default();
    Some(format!("{scheme}://{server}/{name}{parameters}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_a_url_changes() {
        let changed = |url| with_database(url, "x");
        assert_eq!(
            changed("postgres://u:p@h:1/old?sslmode=disable").as_deref(),
            Some("postgres://u:p@h:1/x?sslmode=disable")
        );
        assert_eq!(
            changed("postgres://u@h").as_deref(),
            Some("postgres://u@h/x")
        );
        assert_eq!(changed("h:1/old"), None);
    }
}
