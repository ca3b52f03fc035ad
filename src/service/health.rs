use super::Service;

/// Whether each part that the server stands on answers; an error in words where not.
#[derive(Clone, Debug)]
pub struct Health {
    pub database: Result<(), String>,
    pub broker: Result<(), String>,
    pub blobs: Result<(), String>,
}

impl Service {
    pub async fn health(&self) -> Health {
        let (database, blobs) = tokio::join!(self.db.ping(), self.blobs.ping());
        Health {
            database: database.map_err(|error| error.to_string()),
            broker: match self.publisher.is_connected() {
                true => Ok(()),
                false => Err("not connected".to_owned()),
            },
            blobs: blobs.map_err(|error| error.to_string()),
        }
    }

    /// Brings the gauges up to date that mirror the database.
    pub async fn refresh_gauges(&self) -> super::Result<()> {
        let mut tx = self.db.read().await?;
        let (gateways, online) = tx.count_gateways().await?;
        self.metrics.gateways.set(gateways);
        self.metrics.gateways_online.set(online);
        self.metrics
            .commands_waiting
            .set(tx.count_commands().await?);
        self.metrics
            .broker_connected
            .set(i64::from(self.publisher.is_connected()));
        Ok(())
    }
}
