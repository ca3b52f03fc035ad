use super::engine::Engine;
use crate::{
    domain::{
        Candidate, Firmware, GatewayQuery, GatewayTerm, ORDER_MODULUS, RolloutTarget, lowest_start,
        order_coefficients, version_key,
    },
    service::{Error, Result},
    store::{Enrolment, Wanted},
};

/// Gateways that a target may name by id.
pub(super) const GATEWAY_IDS_MAX: usize = 10_000;

/// Which gateways a target means. Those named by id may be of any device type: who names them is
/// told that they are of another.
pub(super) fn target_query(device_type: &str, target: &RolloutTarget) -> Result<GatewayQuery> {
    let refuse = |message: String| Error::invalid("invalid_target", format!("target: {message}"));
    let mut query = match &target.gateway_ids {
        None => GatewayQuery::from(GatewayTerm::DeviceType(device_type.to_owned())),
        Some(ids) if ids.is_empty() => {
            return Err(Error::invalid(
                "empty_target",
                "target.gatewayIds is empty: name a gateway, or leave it out to mean all",
            ));
        }
        Some(ids) if ids.len() > GATEWAY_IDS_MAX => {
            return Err(refuse(format!(
                "gatewayIds has {} ids, and {GATEWAY_IDS_MAX} is the most: give these gateways a \
                 tag and target that",
                ids.len()
            )));
        }
        Some(ids) => GatewayQuery::ids(ids.iter().cloned()),
    };
    query = query.and(GatewayQuery::tags(&target.tags).map_err(refuse)?);
    if let Some(condition) = &target.current_version {
        query = query.and(GatewayQuery::version(condition).map_err(refuse)?);
    }
    if let Some(filter) = &target.filter {
        query = query.and(GatewayQuery::parse(filter).map_err(refuse)?);
    }
    Ok(query)
}

/// The gateways of `target` that are eligible for `firmware`.
pub(super) fn wanted(
    firmware: &Firmware,
    candidates: &[Candidate],
    target: GatewayQuery,
    forced: bool,
) -> Wanted {
    let lowest = lowest_start(&firmware.version, candidates);
    Wanted {
        target: target.and(GatewayTerm::DeviceType(firmware.device_type.clone())),
        version: firmware.version.clone(),
        version_key: version_key(&firmware.version).unwrap_or_default(),
        // A way must exist only where there is a minimum; then the version must be known.
        lowest_key: match (&firmware.min_version, lowest) {
            (None, _) => None,
            (Some(_), lowest) => Some(lowest.as_deref().and_then(version_key).unwrap_or_default()),
        },
        forced,
    }
}

impl Engine<'_> {
    /// Who is to be taken in; halts the rollout if its firmware is gone.
    pub(super) async fn enrolment(&mut self) -> Result<Option<Enrolment>> {
        let rollout = &self.rollout;
        let firmware = self
            .tx
            .firmware(&rollout.device_type, &rollout.version)
            .await?;
        let Some(firmware) = firmware else {
            let version = rollout.version.clone();
            self.halt(format!("firmware {version} is gone"));
            return Ok(None);
        };
        let target = target_query(&rollout.device_type, &rollout.target)?;
        let forced = rollout.plan.force_upgrade;
        let admission = self.service.admission().await?;
        let candidates = self
            .tx
            .candidates(&firmware.device_type, &admission)
            .await?;
        let wanted = wanted(&firmware, &candidates, target, forced);
        Ok(Some(Enrolment {
            rollout_id: self.rollout.rollout_id,
            wanted,
            again: false,
            coefficients: order_coefficients(self.rollout.seed),
            from_position: 0,
            last_position: ORDER_MODULUS,
        }))
    }
}
