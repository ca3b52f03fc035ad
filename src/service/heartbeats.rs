use chrono::TimeDelta;

use super::{Error, Result, Service, trigger_upgrade::check_gateway_id};
use crate::{domain::KeptHeartbeat, store::HeartbeatFilter};

/// What a gateway said of itself over time.
#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatHistory {
    /// One heartbeat is kept of each; `None`: none is.
    pub interval: Option<TimeDelta>,
    /// Oldest first.
    pub heartbeats: Vec<KeptHeartbeat>,
}

impl Service {
    pub async fn heartbeats(&self, filter: &HeartbeatFilter) -> Result<HeartbeatHistory> {
        check_gateway_id(&filter.gateway_id)?;
        if let (Some(since), Some(until)) = (filter.since, filter.until)
            && since > until
        {
            return Err(Error::invalid(
                "invalid_period",
                format!("since {since} is later than until {until}: exchange them"),
            ));
        }
        let mut tx = self.db.read().await?;
        if tx.gateway(&filter.gateway_id).await?.is_none() {
            return Err(Error::no_gateway(&filter.gateway_id));
        }
        Ok(HeartbeatHistory {
            interval: self.settings.heartbeat_interval,
            heartbeats: tx.heartbeats(filter).await?,
        })
    }
}
