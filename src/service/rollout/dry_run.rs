use super::{
    create::CreateRollout,
    target::{target_query, wanted},
};
use crate::{
    domain::{
        Admission, Firmware, Gateway, ORDER_MODULUS, VersionRefusal, eligibility,
        order_coefficients, position, shuffle, wave_end_ranks,
    },
    service::{Error, Page, Result, Service},
    store::{GatewayFilter, Tx},
};

/// What a rollout would do.
#[derive(Clone, Debug)]
pub struct DryRun {
    pub seed: i64,
    pub included: i64,
    pub exclusions: Vec<Exclusion>,
    /// Percent and gateways of each wave.
    pub waves: Vec<(u8, i64)>,
    /// The gateways of the target by id.
    pub gateways: Page<DryRunGateway>,
}

/// Gateways of the target that would not get the version, for the same reason.
#[derive(Clone, Debug)]
pub struct Exclusion {
    /// Of the first of them.
    pub refusal: VersionRefusal,
    pub total: i64,
}

/// What would become of one gateway.
#[derive(Clone, Debug)]
pub struct DryRunGateway {
    pub gateway_id: String,
    pub current_version: Option<String>,
    /// From 1.
    pub wave: Option<usize>,
    /// The versions it would go through.
    pub verdict: std::result::Result<Vec<String>, VersionRefusal>,
}

/// Who of the target is eligible.
pub(super) struct Survey {
    pub(super) included: i64,
    pub(super) exclusions: Vec<Exclusion>,
}

impl Survey {
    /// The refusal of a rollout that nobody would get.
    pub(super) fn nobody(&self, create: &CreateRollout) -> Error {
        let version = &create.version;
        let message = match self.exclusions.as_slice() {
            [] => format!(
                "no gateway of device type {} matches the target: look with \
                 GET /api/ota/gateways?filter=…, or wait until they are registered",
                create.device_type
            ),
            exclusions => {
                let reasons: Vec<String> = exclusions
                    .iter()
                    .map(|it| format!("{} because {}", it.total, it.refusal))
                    .collect();
                format!(
                    "nobody of the target would get {version}: {}",
                    reasons.join("; ")
                )
            }
        };
        Error::conflict("empty_target", message)
    }
}

/// Counts by what the gateways run: as many verdicts as there are versions, not gateways.
pub(super) async fn survey(
    tx: &mut Tx,
    firmware: &Firmware,
    create: &CreateRollout,
    admission: &Admission,
) -> Result<Survey> {
    let target = target_query(&create.device_type, &create.target)?;
    let candidates = tx.candidates(&firmware.device_type, admission).await?;
    let mut survey = Survey {
        included: 0,
        exclusions: Vec::new(),
    };
    for count in tx.count_versions(&target).await? {
        let mut gateway = Gateway::new("", &count.device_type, firmware.created_at);
        gateway.current_version = count.current_version;
        let forced = create.plan.force_upgrade;
        match eligibility(&gateway, firmware, &candidates, forced) {
            Ok(_) => survey.included += count.gateways,
            Err(refusal) => {
                let known = survey
                    .exclusions
                    .iter_mut()
                    .find(|it| it.refusal.code() == refusal.code());
                match known {
                    Some(exclusion) => exclusion.total += count.gateways,
                    None => survey.exclusions.push(Exclusion {
                        refusal,
                        total: count.gateways,
                    }),
                }
            }
        }
    }
    survey.exclusions.sort_by_key(|it| it.refusal.code());
    Ok(survey)
}

impl Service {
    /// Who would get what, and who would not. Stores nothing.
    pub async fn dry_run_rollout(
        &self,
        create: CreateRollout,
        after: String,
        limit: i64,
    ) -> Result<DryRun> {
        let admission = self.admission().await?;
        let mut tx = self.db.read().await?;
        let firmware = create.check(self, &mut tx, &admission).await?;
        let survey = survey(&mut tx, &firmware, &create, &admission).await?;
        let seed = create.seed();
        let forced = create.plan.force_upgrade;
        let target = target_query(&create.device_type, &create.target)?;
        let candidates = tx.candidates(&firmware.device_type, &admission).await?;
        let wanted = wanted(&firmware, &candidates, target.clone(), forced);
        let included = tx.count_wanted(&wanted).await?;
        let ranks = wave_end_ranks(included, &create.plan.waves);
        let mut ends = Vec::with_capacity(ranks.len());
        let mut waves = Vec::with_capacity(ranks.len());
        let mut before = 0;
        for (percent, rank) in create.plan.waves.iter().zip(&ranks) {
            let end = match rank {
                _ if *percent == 100 => ORDER_MODULUS,
                0 => -1,
                rank => tx
                    .wanted_position(&wanted, order_coefficients(seed), *rank)
                    .await?
                    .unwrap_or(-1),
            };
            ends.push(end);
            waves.push((*percent, rank - before));
            before = *rank;
        }
        let filter = GatewayFilter {
            query: target,
            after,
            skip: 0,
            limit: limit + 1,
        };
        let page = Page::cut(tx.gateways(&filter).await?, limit);
        let items = page.items.into_iter().map(|gateway| {
            let verdict = eligibility(&gateway, &firmware, &candidates, forced);
            let place = position(shuffle(&gateway.gateway_id), seed);
            DryRunGateway {
                wave: ends
                    .iter()
                    .position(|end| verdict.is_ok() && place <= *end)
                    .map(|wave| wave + 1),
                gateway_id: gateway.gateway_id,
                current_version: gateway.current_version,
                verdict,
            }
        });
        Ok(DryRun {
            seed,
            included: survey.included,
            exclusions: survey.exclusions,
            waves,
            gateways: Page {
                items: items.collect(),
                more: page.more,
            },
        })
    }
}
