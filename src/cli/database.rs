//! What commands share that open the database themselves, beside the servers that use it.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;
use tokio::time::sleep;

use crate::{
    config::{Config, Options},
    domain::{Actor, Caller},
    service::CREDENTIAL_KEPT,
};

/// Longer than a server takes to look whether there are credentials.
const LOOK: Duration = Duration::from_millis(750);

/// Which database: as `airlift serve` finds it.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseArgs {
    /// Folder of everything the embedded defaults keep [default: ./data]
    #[arg(long, global = true, env = "AIRLIFT_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Database: sqlite:PATH or postgres://… [default: SQLite in the data dir]
    #[arg(
        long,
        global = true,
        env = "AIRLIFT_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    database_url: Option<String>,
    /// TOML file of the server's settings, for its database
    #[arg(long, global = true, env = "AIRLIFT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The server's settings as far as they say where its database is; all others by default.
    pub fn resolve(&self) -> Result<Config> {
        let options = Options {
            data_dir: self.data_dir.clone(),
            database_url: self.database_url.clone(),
            ..Options::default()
        };
        let all = options.over_file(self.config.as_deref())?;
        let options = Options {
            data_dir: all.data_dir,
            database_url: all.database_url,
            ..Options::default()
        };
        options.resolve()
    }
}

/// Who sits before this machine, for the audit log.
pub fn caller() -> Caller {
    Caller {
        actor: Actor::CommandLine {
            name: system_user(),
        },
        address: None,
    }
}

/// The name of the system's user that this process is of, or its number where it has no name.
fn system_user() -> String {
    let Ok(own) = fs::metadata("/proc/self") else {
        return "unknown".to_owned();
    };
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = own.uid().to_string();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then_some(name)
    });
    name.map_or_else(|| format!("uid {uid}"), str::to_owned)
}

/// Waits until every running server goes by what was changed.
pub async fn felt_everywhere() {
    sleep(CREDENTIAL_KEPT + LOOK).await;
}
