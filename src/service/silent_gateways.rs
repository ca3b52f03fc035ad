use super::{Result, Service};
use crate::domain::Event;

/// Gateways looked at per transaction.
const SILENT_BATCH_MAX: i64 = 100;

impl Service {
    /// Says of gateways that report over HTTP and have not for too long that they are offline; how
    /// many were looked at. Servers that do this at once share the work.
    pub async fn mark_silent_gateways(&self) -> Result<usize> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let silent = tx.lock_silent_gateways(now, SILENT_BATCH_MAX).await?;
        let mut looked_at = silent.clone();
        for (before, gateway) in silent.iter().zip(&mut looked_at) {
            gateway.miss_report(now, self.listening_since);
            let change = gateway.changes_since(before);
            if !change.is_empty() {
                tx.record(Event::gateway(gateway, &change, now));
                tracing::info!(
                    gateway_id = gateway.gateway_id,
                    "gateway offline: it has missed its reports"
                );
            }
        }
        tx.update_gateways(&looked_at.iter().collect::<Vec<_>>())
            .await?;
        tx.commit().await?;
        Ok(silent.len())
    }
}
