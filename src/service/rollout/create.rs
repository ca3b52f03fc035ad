use std::sync::Arc;

use serde_json::json;

use super::{
    dry_run::survey,
    engine::{Engine, rollout_event},
    list::RolloutView,
    target::target_query,
};
use crate::{
    domain::{
        Admission, Caller, Firmware, ORDER_MODULUS, Rollout, RolloutPlan, RolloutState,
        RolloutTarget,
    },
    service::{
        Error, Result, Service, known_firmwares::KnownFirmwares, upload_firmware::check_device_type,
    },
    store::Tx,
};

/// Longest name of a rollout, in characters.
const NAME_LENGTH_MAX: usize = 200;
/// Ids that a refusal names.
const IDS_NAMED_MAX: usize = 5;

/// What a rollout is to be.
#[derive(Clone, Debug)]
pub struct CreateRollout {
    pub name: String,
    pub version: String,
    pub device_type: String,
    pub target: RolloutTarget,
    pub plan: RolloutPlan,
    /// `None`: a random one.
    pub seed: Option<i64>,
}

impl CreateRollout {
    pub(super) fn seed(&self) -> i64 {
        self.seed
            .unwrap_or_else(|| rand::random_range(0..ORDER_MODULUS))
    }

    /// Refuses what can't be, and finds the firmware.
    pub(super) async fn check(
        &self,
        service: &Service,
        tx: &mut Tx,
        admission: &Admission,
    ) -> Result<Arc<Firmware>> {
        check_device_type(&self.device_type)?;
        if self.name.chars().count() > NAME_LENGTH_MAX {
            return Err(Error::invalid(
                "invalid_name",
                format!("the name is too long: use at most {NAME_LENGTH_MAX} characters"),
            ));
        }
        self.plan
            .check(service.clock.now())
            .map_err(|refusal| Error::invalid(refusal.code, refusal.message))?;
        let version = Some(self.version.as_str());
        let mut firmwares = KnownFirmwares::new(admission);
        let firmware = firmwares
            .installable(tx, &self.device_type, version)
            .await?;
        target_query(&self.device_type, &self.target)?;
        if let Some(ids) = &self.target.gateway_ids {
            let unknown = tx.unknown_gateways(&ids.iter().cloned().collect()).await?;
            if !unknown.is_empty() {
                return Err(no_gateways(&unknown));
            }
        }
        Ok(firmware)
    }
}

fn no_gateways(ids: &[String]) -> Error {
    let named = ids[..ids.len().min(IDS_NAMED_MAX)].join(", ");
    let more = match ids.len().saturating_sub(IDS_NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::not_found(
        "gateway_not_found",
        format!("target.gatewayIds names gateways that are not registered: {named}{more}"),
    )
}

impl Service {
    /// Stores a rollout and begins to take its gateways in; the engine goes on.
    pub async fn create_rollout(
        &self,
        caller: &Caller,
        create: CreateRollout,
    ) -> Result<RolloutView> {
        let admission = self.admission().await?;
        let mut tx = self.db.begin().await?;
        let firmware = create.check(self, &mut tx, &admission).await?;
        let survey = survey(&mut tx, &firmware, &create, &admission).await?;
        if survey.included == 0 {
            return Err(survey.nobody(&create));
        }
        let now = self.clock.now();
        let rollout = Rollout {
            rollout_id: self.clock.new_id(),
            seed: create.seed(),
            name: create.name,
            device_type: create.device_type,
            version: create.version,
            target: create.target,
            plan: create.plan,
            state: RolloutState::Scheduled,
            reason: None,
            enrolled_to: None,
            enrolled: false,
            wave: 0,
            paced_at: None,
            next_look_at: Some(now),
            next_join_at: None,
            started_at: None,
            ended_at: None,
            created_at: now,
            updated_at: now,
        };
        tx.insert_rollout(&rollout).await?;
        tx.record(rollout_event(&rollout, now));
        let detail = json!({
            "name": rollout.name,
            "deviceType": rollout.device_type,
            "version": rollout.version,
            "gateways": survey.included,
        });
        tx.audit(&caller.did(
            "rollout.create",
            rollout.rollout_id.to_string(),
            detail,
            now,
        ))
        .await?;
        let rollout_id = rollout.rollout_id;
        tracing::info!(
            %rollout_id,
            version = rollout.version,
            gateways = survey.included,
            "rollout made"
        );
        // The first batch at once: a small rollout is whole when this returns.
        let mut engine = Engine::new(self, tx, rollout, now).await?;
        engine.enrol().await?;
        engine.save().await?;
        self.rollouts_changed.notify_one();
        self.rollout(rollout_id).await
    }
}
