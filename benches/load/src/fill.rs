//! A server that has been at work for a while.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::server::Server;

/// One firmware for so many gateways.
const GATEWAYS_PER_FIRMWARE: usize = 100;
/// What the gateways run, and what their tasks led to.
const VERSION: &str = "0.0.0";

/// The id of a gateway of those that [`Server::fill`] makes, from 0.
pub fn gateway_id(number: usize) -> String {
    format!("GW{number:07}")
}

impl Server {
    /// Adds so many gateways, each with a tag, four heartbeats and an ended task with its 13 reports
    /// and 5 events, and a firmware for each hundred of them. Once per server, and before others come.
    pub async fn fill(&self, gateways: usize) -> Result<()> {
        let name = self.release(VERSION, vec![0x5a; 100_000]).await?;
        let script = |text: &str| {
            AssertSqlSafe(
                text.replace(":gateways", &gateways.to_string())
                    .replace(
                        ":firmwares",
                        &(gateways / GATEWAYS_PER_FIRMWARE).to_string(),
                    )
                    .replace(":url", &self.url(&format!("/firmware/{name}"))),
            )
        };
        match &self.postgres {
            Some(postgres) => {
                let mut connection = PgConnection::connect(&postgres.url()).await?;
                let script = script(include_str!("fill/postgres.sql"));
                sqlx::raw_sql(script).execute(&mut connection).await?;
                connection.close().await
            }
            None => {
                let file = self.data.join("airlift.db");
                let url = format!("sqlite:{}", file.display());
                let mut connection = SqliteConnection::connect(&url).await?;
                let script = script(include_str!("fill/sqlite.sql"));
                sqlx::raw_sql(script).execute(&mut connection).await?;
                connection.close().await
            }
        }
        .with_context(|| format!("filling the database with {gateways} gateways"))
    }
}
