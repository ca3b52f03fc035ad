use std::sync::PoisonError;

use serde_json::json;

use super::{Page, Result, Service};
use crate::{
    domain::Caller,
    store::{AuditFilter, AuditLine},
};

/// The action of a change that was refused.
const REFUSED: &str = "access.refused";
/// What is kept of a refused request's path, in characters.
const PATH_LENGTH_MAX: usize = 200;

impl Service {
    /// Who did what, newest first.
    pub async fn audit_lines(&self, mut filter: AuditFilter) -> Result<Page<AuditLine>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        Ok(Page::cut(tx.audit_lines(&filter).await?, limit))
    }

    /// Writes down that a change was refused for want of a credential or a role. A flood of them is
    /// counted instead. A database that is away changes nothing in the refusal.
    pub async fn audit_refusal(&self, caller: &Caller, method: &str, path: &str, code: &str) {
        let now = self.clock.now();
        let admitted = {
            let limit = self.refusal_limit.lock();
            let mut limit = limit.unwrap_or_else(PoisonError::into_inner);
            limit.admit(caller, now)
        };
        let Some(left_out) = admitted else {
            self.metrics.access.refusals_not_audited.inc();
            return;
        };
        let path: String = path.chars().take(PATH_LENGTH_MAX).collect();
        let detail = match left_out {
            0 => json!({ "code": code }),
            left_out => json!({ "code": code, "leftOut": left_out }),
        };
        let entry = caller.did(REFUSED, format!("{method} {path}"), detail, now);
        let written = async {
            let mut tx = self.db.begin().await?;
            tx.audit(&entry).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, method, path, code, "a refused change is not in the audit log");
        }
    }
}
