use super::{Error, Result, Service, rollout::rollouts_for, trigger_upgrade::check_gateway_id};
use crate::domain::{CommandKind, Explanation, Gateway, TaskFacts, WhyFacts, explain};

/// A gateway, and why it does not get its update.
#[derive(Clone, Debug)]
pub struct GatewayWhy {
    pub gateway: Gateway,
    pub explanation: Explanation,
}

impl Service {
    /// What keeps a gateway from its update, or brings it. Looks at the gateway alone and at the
    /// rollouts of its device type, never at other gateways one by one.
    pub async fn why(&self, gateway_id: &str) -> Result<GatewayWhy> {
        check_gateway_id(gateway_id)?;
        let admission = self.admission().await?;
        let mut tx = self.db.read().await?;
        let gateway = tx
            .gateway(gateway_id)
            .await?
            .ok_or_else(|| Error::no_gateway(gateway_id))?;
        let task = match tx.newest_task(gateway_id).await? {
            None => None,
            Some(task) => Some(TaskFacts {
                command: tx.command(task.task_id, CommandKind::Upgrade).await?,
                last_report: tx.last_report(task.task_id).await?,
                task,
            }),
        };
        let facts = WhyFacts {
            now: admission.now,
            candidates: tx.candidates(&gateway.device_type, &admission).await?,
            rollouts: rollouts_for(&mut tx, &gateway).await?,
            gateway,
            task,
        };
        Ok(GatewayWhy {
            explanation: explain(&facts),
            gateway: facts.gateway,
        })
    }
}
