use async_trait::async_trait;
use chrono::TimeDelta;
use uuid::Uuid;

use super::{Result, Service};
use crate::{mqtt::SessionIds, store::SessionLease};

/// How long a server keeps its MQTT client id without renewing it. A server that was killed is
/// replaced, and what waits in its session taken over, after this.
const LEASE: TimeDelta = TimeDelta::seconds(10);

/// A broker keeps one session per client id, and what waits in it for that id alone. So ids are
/// not made up at each start but leased from the database: a new server takes over the id of a
/// dead one, and with it what the dead one had not taken in.
#[async_trait]
impl SessionIds for Service {
    async fn acquire(&self, holder: Uuid) -> Option<String> {
        match self.acquire_session(holder).await {
            Ok(client_id) => Some(client_id),
            Err(error) => {
                tracing::warn!(%error, "no MQTT client id yet; trying again");
                None
            }
        }
    }

    async fn acquire_expired(&self, holder: Uuid) -> Option<String> {
        self.claim_expired_session(holder)
            .await
            .unwrap_or_else(|error| {
                tracing::debug!(%error, "could not look for sessions of dead servers");
                None
            })
    }

    async fn renew(&self, client_id: &str, holder: Uuid) -> bool {
        // While the database is away nobody else can take the id either.
        self.renew_session(client_id, holder, LEASE)
            .await
            .unwrap_or(true)
    }

    async fn release(&self, client_id: &str, holder: Uuid) {
        if let Err(error) = self
            .renew_session(client_id, holder, TimeDelta::zero())
            .await
        {
            tracing::debug!(%error, client_id, "the MQTT client id was not given back; it will expire");
        }
    }

    async fn forget(&self, client_id: &str, holder: Uuid) {
        let forgotten = async {
            let mut tx = self.db.begin().await?;
            tx.delete_session(client_id, holder).await?;
            tx.commit().await
        };
        if let Err(error) = forgotten.await {
            tracing::debug!(%error, client_id, "a drained session will be drained again");
        }
    }
}

impl Service {
    async fn acquire_session(&self, holder: Uuid) -> Result<String> {
        if let Some(client_id) = self.claim_expired_session(holder).await? {
            return Ok(client_id);
        }
        let client_id = format!("airlift-{}", self.clock.new_id().simple());
        let mut tx = self.db.begin().await?;
        tx.insert_session(&self.lease(&client_id, holder, LEASE))
            .await?;
        tx.commit().await?;
        Ok(client_id)
    }

    async fn claim_expired_session(&self, holder: Uuid) -> Result<Option<String>> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let claimed = tx.claim_expired_session(holder, now, now + LEASE).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    async fn renew_session(&self, client_id: &str, holder: Uuid, lease: TimeDelta) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let renewed = tx
            .renew_session(&self.lease(client_id, holder, lease))
            .await?;
        tx.commit().await?;
        Ok(renewed)
    }

    fn lease(&self, client_id: &str, holder: Uuid, lease: TimeDelta) -> SessionLease {
        SessionLease {
            client_id: client_id.to_owned(),
            holder,
            leased_until: self.clock.now() + lease,
        }
    }

    /// A server that has the database to itself takes its id back at once after a crash.
    pub async fn expire_own_sessions(&self) -> Result<()> {
        if self.db.is_embedded() {
            let mut tx = self.db.begin().await?;
            tx.expire_sessions(self.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
