use std::cmp::Ordering;

use semver::Version;

use super::{
    admission::Barred,
    firmware::{Firmware, FirmwareStatus, parse_version},
    gateway::Gateway,
};

/// A firmware of a device type, as far as the way to a version goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub version: String,
    /// The lowest version from which it may be installed.
    pub min_version: Option<String>,
    pub status: FirmwareStatus,
    /// Why it must not be sent although its status allows it.
    pub barred: Option<Barred>,
}

/// Why a gateway does not get a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionRefusal {
    #[error("it runs this version already")]
    AlreadyRuns,
    #[error("it runs a newer version: only a forced upgrade goes back")]
    NewerRuns,
    #[error(
        "the version it runs is not known, and this firmware has a minVersion: let it send a \
         heartbeat first"
    )]
    UnknownVersion,
    #[error(
        "no released firmwares lead from its version to this one: it must run {lowest} or newer, \
         or a firmware in between must be released"
    )]
    NoPath { lowest: String },
    #[error("the firmware is {status}, and only one in testing or released is installed")]
    NotInstallable { status: FirmwareStatus },
    #[error("its device type has no firmware of this version")]
    NoFirmware,
    #[error("the firmware is for another device type")]
    OtherDeviceType,
    #[error(transparent)]
    Barred(#[from] Barred),
}

impl VersionRefusal {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            VersionRefusal::AlreadyRuns => "already_runs",
            VersionRefusal::NewerRuns => "downgrade",
            VersionRefusal::UnknownVersion => "version_unknown",
            VersionRefusal::NoPath { .. } => "no_upgrade_path",
            VersionRefusal::NotInstallable { .. } => "firmware_not_installable",
            VersionRefusal::NoFirmware => "firmware_not_found",
            VersionRefusal::OtherDeviceType => "other_device_type",
            VersionRefusal::Barred(barred) => barred.code(),
        }
    }
}

/// A candidate whose versions are read. Only precedence counts (SemVer 2.0, 11); the full order
/// makes choices stable.
struct Step<'c> {
    name: &'c str,
    version: Version,
    min_version: Option<Version>,
    status: FirmwareStatus,
    barred: Option<&'c Barred>,
}

impl<'c> Step<'c> {
    /// `None` if its versions are not SemVer, which an upload refuses.
    fn read(candidate: &'c Candidate) -> Option<Self> {
        let min_version = match &candidate.min_version {
            Some(min_version) => Some(parse_version(min_version)?),
            None => None,
        };
        Some(Step {
            name: &candidate.version,
            version: parse_version(&candidate.version)?,
            min_version,
            status: candidate.status,
            barred: candidate.barred.as_ref(),
        })
    }

    fn goes_from(&self, current: &Version) -> bool {
        self.min_version
            .as_ref()
            .is_none_or(|min_version| is_at_least(current, min_version))
    }
}

/// The target, and the firmwares that may be stepped on before it: released, not barred and lower.
fn steps<'c>(
    target: &str,
    firmwares: &'c [Candidate],
) -> Result<(Step<'c>, Vec<Step<'c>>), VersionRefusal> {
    let target = firmwares
        .iter()
        .find(|candidate| candidate.version == target)
        .and_then(Step::read)
        .ok_or(VersionRefusal::NoFirmware)?;
    let stones = firmwares
        .iter()
        .filter(|candidate| candidate.status == FirmwareStatus::Released)
        .filter(|candidate| candidate.barred.is_none())
        .filter_map(Step::read)
        .filter(|step| !is_at_least(&step.version, &target.version))
        .collect();
    Ok((target, stones))
}

fn is_at_least(version: &Version, other: &Version) -> bool {
    version.cmp_precedence(other).is_ge()
}

/// The versions to install one after the other, `target` last: as few as can be, and of those the
/// highest. `firmwares` are all of the device type. A `current` that is unknown or not SemVer
/// reaches only a target without a minimum.
pub fn plan_path(
    current: Option<&str>,
    target: &str,
    firmwares: &[Candidate],
) -> Result<Vec<String>, VersionRefusal> {
    let (target, stones) = steps(target, firmwares)?;
    if !target.status.is_installable() {
        return Err(VersionRefusal::NotInstallable {
            status: target.status,
        });
    }
    if let Some(barred) = target.barred {
        return Err(barred.clone().into());
    }
    let Some(mut current) = current.and_then(parse_version) else {
        return match target.min_version {
            None => Ok(vec![target.name.to_owned()]),
            Some(_) => Err(VersionRefusal::UnknownVersion),
        };
    };
    // A higher version goes wherever a lower one does, so the highest stone is the best one.
    let mut path = Vec::new();
    while !target.goes_from(&current) {
        let stone = stones
            .iter()
            .filter(|stone| current.cmp_precedence(&stone.version).is_lt())
            .filter(|stone| stone.goes_from(&current))
            .max_by(|a, b| by_precedence(&a.version, &b.version))
            .ok_or_else(|| VersionRefusal::NoPath {
                lowest: lowest(&target, &stones).map_or_else(String::new, Version::to_string),
            })?;
        path.push(stone.name.to_owned());
        current = stone.version.clone();
    }
    path.push(target.name.to_owned());
    Ok(path)
}

fn by_precedence(a: &Version, b: &Version) -> Ordering {
    a.cmp_precedence(b).then_with(|| a.cmp(b))
}

/// The lowest version from which [`plan_path`] leads to an installable `target`; `None` if it does
/// from every version that is known.
pub fn lowest_start(target: &str, firmwares: &[Candidate]) -> Option<String> {
    let (target, stones) = steps(target, firmwares).ok()?;
    lowest(&target, &stones).map(Version::to_string)
}

fn lowest<'s>(target: &'s Step<'_>, stones: &'s [Step<'_>]) -> Option<&'s Version> {
    let mut lowest = target.min_version.as_ref()?;
    loop {
        let mut lower = lowest;
        for stone in stones {
            if is_at_least(&stone.version, lowest) {
                let start = stone.min_version.as_ref()?;
                lower = if is_at_least(start, lower) {
                    lower
                } else {
                    start
                };
            }
        }
        if lower == lowest {
            return Some(lowest);
        }
        lowest = lower;
    }
}

/// Whether a gateway is to get `target`, and by which versions. `firmwares` are all of the target's
/// device type. Forced, it may go back to a lower version.
pub fn eligibility(
    gateway: &Gateway,
    target: &Firmware,
    firmwares: &[Candidate],
    forced: bool,
) -> Result<Vec<String>, VersionRefusal> {
    eligibility_for(
        gateway,
        (&target.device_type, &target.version),
        firmwares,
        forced,
    )
}

/// Like [`eligibility`], for a target known by its names, which may be gone.
pub(super) fn eligibility_for(
    gateway: &Gateway,
    (device_type, version): (&str, &str),
    firmwares: &[Candidate],
    forced: bool,
) -> Result<Vec<String>, VersionRefusal> {
    if gateway.device_type != device_type {
        return Err(VersionRefusal::OtherDeviceType);
    }
    let current = gateway.current_version.as_deref();
    if current == Some(version) {
        return Err(VersionRefusal::AlreadyRuns);
    }
    if !forced && is_downgrade(current, version) {
        return Err(VersionRefusal::NewerRuns);
    }
    plan_path(current, version, firmwares)
}

/// Whether `target` has a lower precedence than `current`; never if either is not SemVer.
pub fn is_downgrade(current: Option<&str>, target: &str) -> bool {
    match (current.and_then(parse_version), parse_version(target)) {
        (Some(current), Some(target)) => target.cmp_precedence(&current).is_lt(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(version: &str, min_version: Option<&str>, status: FirmwareStatus) -> Candidate {
        Candidate {
            version: version.into(),
            min_version: min_version.map(Into::into),
            status,
            barred: None,
        }
    }

    fn released(version: &str, min_version: Option<&str>) -> Candidate {
        candidate(version, min_version, FirmwareStatus::Released)
    }

    fn path(steps: &[&str]) -> Result<Vec<String>, VersionRefusal> {
        Ok(steps.iter().map(|step| (*step).to_owned()).collect())
    }

    #[test]
    fn a_minimum_is_reached_over_the_highest_release_that_has_it() {
        let firmwares = [
            released("1.0.0", None),
            released("1.4.0", None),
            released("1.5.0", Some("1.0.0")),
            released("1.6.0", Some("1.5.0")),
            released("2.0.0", Some("1.4.0")),
        ];
        let plan = |current| plan_path(current, "2.0.0", &firmwares);
        assert_eq!(plan(Some("1.4.0")), path(&["2.0.0"]));
        assert_eq!(plan(Some("1.0.0")), path(&["1.5.0", "2.0.0"]));
        assert_eq!(plan(Some("0.9.0")), path(&["1.4.0", "2.0.0"]));
        assert_eq!(plan(Some("3.0.0")), path(&["2.0.0"]));
        assert_eq!(plan(None), Err(VersionRefusal::UnknownVersion));
        assert_eq!(plan(Some("v1")), Err(VersionRefusal::UnknownVersion));
        assert_eq!(plan_path(None, "1.4.0", &firmwares), path(&["1.4.0"]));
        assert_eq!(lowest_start("2.0.0", &firmwares), None);
    }

    #[test]
    fn only_releases_are_stepped_on_and_only_installable_targets_are_reached() {
        use FirmwareStatus::*;
        for status in [Draft, Testing, Deprecated] {
            let firmwares = [
                candidate("1.4.0", None, status),
                released("2.0.0", Some("1.4.0")),
            ];
            let lowest = "1.4.0".to_owned();
            assert_eq!(
                plan_path(Some("1.0.0"), "2.0.0", &firmwares),
                Err(VersionRefusal::NoPath { lowest })
            );
            let expected = match status {
                Testing => path(&["1.4.0"]),
                status => Err(VersionRefusal::NotInstallable { status }),
            };
            assert_eq!(plan_path(Some("1.0.0"), "1.4.0", &firmwares), expected);
        }
        assert_eq!(
            plan_path(Some("1.0.0"), "9.9.9", &[]),
            Err(VersionRefusal::NoFirmware)
        );
    }

    #[test]
    fn what_is_barred_is_neither_reached_nor_stepped_on() {
        let barred = |version: &str, min_version| Candidate {
            barred: Some(Barred::Unsigned),
            ..released(version, min_version)
        };
        let firmwares = [
            released("1.3.0", None),
            barred("1.4.0", None),
            released("2.0.0", Some("1.3.0")),
            barred("3.0.0", None),
        ];
        assert_eq!(
            plan_path(Some("1.0.0"), "2.0.0", &firmwares),
            path(&["1.3.0", "2.0.0"])
        );
        let refusal = plan_path(Some("2.0.0"), "3.0.0", &firmwares).unwrap_err();
        assert_eq!(refusal, Barred::Unsigned.into());
        assert_eq!(refusal.code(), "unsigned");
    }

    fn gateway(version: Option<&str>) -> Gateway {
        let mut gateway = Gateway::new("g", "gateway", chrono::DateTime::UNIX_EPOCH);
        gateway.current_version = version.map(Into::into);
        gateway
    }

    fn firmware(version: &str, min_version: Option<&str>) -> Firmware {
        Firmware {
            firmware_id: uuid::Uuid::nil(),
            device_type: "gateway".into(),
            version: version.into(),
            file_name: String::new(),
            file_size: 1,
            md5: String::new(),
            sha256: String::new(),
            description: String::new(),
            changelog: String::new(),
            status: FirmwareStatus::Released,
            force_upgrade: false,
            min_version: min_version.map(Into::into),
            bundle: None,
            package: None,
            release_date: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
            updated_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn force_goes_back_but_over_no_gap() {
        let (target, lowest) = (firmware("2.0.0", Some("1.4.0")), "1.4.0".to_owned());
        let firmwares = [released("2.0.0", Some("1.4.0"))];
        for (current, forced, expected) in [
            (Some("2.1.0"), false, Err(VersionRefusal::NewerRuns)),
            (Some("2.1.0"), true, path(&["2.0.0"])),
            (Some("2.0.0"), true, Err(VersionRefusal::AlreadyRuns)),
            (Some("2.0.0-rc.1"), false, path(&["2.0.0"])),
            (Some("1.4.0"), false, path(&["2.0.0"])),
            (Some("1.3.0"), true, Err(VersionRefusal::NoPath { lowest })),
            (Some("main"), true, Err(VersionRefusal::UnknownVersion)),
            (None, true, Err(VersionRefusal::UnknownVersion)),
        ] {
            let gateway = gateway(current);
            let eligible = eligibility(&gateway, &target, &firmwares, forced);
            assert_eq!(eligible, expected, "{current:?} {forced}");
        }
        let mut other = gateway(Some("1.4.0"));
        other.device_type = "esp32".into();
        assert_eq!(
            eligibility(&other, &target, &firmwares, true),
            Err(VersionRefusal::OtherDeviceType)
        );
    }

    /// Versions 1 to 12 with pre-releases between them: `2n` is `n.0.0`, `2n-1` is `n.0.0-rc`.
    fn version(rank: u64) -> String {
        match rank % 2 {
            0 => format!("{}.0.0", rank / 2),
            _ => format!("{}.0.0-rc", rank / 2 + 1),
        }
    }

    const RANK_MAX: u64 = 24;

    /// Firmwares of different versions, the minimum of each below its version.
    fn firmwares() -> impl Strategy<Value = Vec<(u64, Option<u64>, FirmwareStatus)>> {
        let one = (
            2..=RANK_MAX,
            prop::option::weighted(0.8, 0.0..1.0_f64),
            prop::sample::select(FirmwareStatus::ALL.to_vec()),
        );
        prop::collection::vec(one, 1..14).prop_map(|all| {
            let mut unique = std::collections::BTreeMap::new();
            for (rank, share, status) in all {
                let min = share.map(|share| 1 + (share * (rank - 1) as f64) as u64);
                // Two in three are released, so that there are paths.
                let status = match rank % 3 {
                    0 => status,
                    _ => FirmwareStatus::Released,
                };
                unique.insert(rank, (rank, min, status));
            }
            unique.into_values().collect()
        })
    }

    /// By trying all: the fewest steps from `current`, then the highest versions first.
    fn best(
        current: u64,
        target: u64,
        firmwares: &[(u64, Option<u64>, FirmwareStatus)],
    ) -> Option<Vec<u64>> {
        let mut best: Option<Vec<u64>> = None;
        for &(rank, min, status) in firmwares {
            if min.is_some_and(|min| current < min) {
                continue;
            }
            let way = if rank == target {
                Some(vec![rank])
            } else if current < rank && rank < target && status == FirmwareStatus::Released {
                best_from(rank, target, firmwares)
            } else {
                None
            };
            let Some(way) = way else { continue };
            let is_better = best.as_ref().is_none_or(|best| {
                way.len()
                    .cmp(&best.len())
                    .then_with(|| best.cmp(&way))
                    .is_lt()
            });
            if is_better {
                best = Some(way);
            }
        }
        best
    }

    fn best_from(
        rank: u64,
        target: u64,
        firmwares: &[(u64, Option<u64>, FirmwareStatus)],
    ) -> Option<Vec<u64>> {
        let mut way = vec![rank];
        way.extend(best(rank, target, firmwares)?);
        Some(way)
    }

    proptest! {
        #[test]
        fn the_path_is_the_best_of_all_and_begins_where_the_lowest_start_says(
            firmwares in firmwares(),
            pick in any::<prop::sample::Index>(),
        ) {
            let (target, _, status) = firmwares[pick.index(firmwares.len())];
            let candidates: Vec<Candidate> = firmwares
                .iter()
                .map(|(rank, min, status)| Candidate {
                    version: version(*rank),
                    min_version: min.map(version),
                    status: *status,
                    barred: None,
                })
                .collect();
            let lowest = lowest_start(&version(target), &candidates);
            for current in 1..=RANK_MAX {
                let plan = plan_path(Some(&version(current)), &version(target), &candidates);
                if !status.is_installable() {
                    prop_assert_eq!(plan, Err(VersionRefusal::NotInstallable { status }));
                    continue;
                }
                let above = lowest.as_ref().is_none_or(|lowest| {
                    is_at_least(
                        &parse_version(&version(current)).unwrap(),
                        &parse_version(lowest).unwrap(),
                    )
                });
                prop_assert_eq!(plan.is_ok(), above, "from {}", version(current));
                match (plan, best(current, target, &firmwares)) {
                    (Ok(path), Some(best)) => {
                        let best: Vec<String> = best.into_iter().map(version).collect();
                        prop_assert_eq!(path, best);
                    }
                    (Err(refusal), None) => prop_assert_eq!(
                        refusal,
                        VersionRefusal::NoPath { lowest: lowest.clone().unwrap() }
                    ),
                    (plan, best) => prop_assert!(false, "{plan:?} but {best:?}"),
                }
            }
        }
    }
}
