use std::collections::BTreeMap;

use super::{Result, Service};
use crate::{
    domain::{GatewayQuery, highest_first, latest, needs_upgrade},
    store::GatewayCount,
};

/// Who is out there, by device type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayStatistics {
    pub all: GatewayTotals,
    /// By name.
    pub device_types: Vec<DeviceTypeStatistics>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTypeStatistics {
    pub device_type: String,
    pub all: GatewayTotals,
    /// The latest release.
    pub latest_version: Option<String>,
    /// As [`highest_first`] orders them.
    pub versions: Vec<GatewayCount>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayTotals {
    pub total: i64,
    pub online: i64,
    /// Those for which something newer is released.
    pub need_upgrade: i64,
}

impl GatewayTotals {
    fn add(&mut self, other: GatewayTotals) {
        self.total += other.total;
        self.online += other.online;
        self.need_upgrade += other.need_upgrade;
    }
}

impl Service {
    pub async fn gateway_statistics(&self, query: &GatewayQuery) -> Result<GatewayStatistics> {
        let mut tx = self.db.read().await?;
        let mut by_type: BTreeMap<String, Vec<GatewayCount>> = BTreeMap::new();
        for count in tx.gateway_counts(query).await? {
            let counts = by_type.entry(count.device_type.clone());
            counts.or_default().push(count);
        }
        let mut released: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (device_type, version) in tx.all_released_versions().await? {
            released.entry(device_type).or_default().push(version);
        }
        let mut statistics = GatewayStatistics::default();
        for (device_type, versions) in by_type {
            let released = released.remove(&device_type).unwrap_or_default();
            let of_type = device_type_statistics(device_type, versions, &released);
            statistics.all.add(of_type.all);
            statistics.device_types.push(of_type);
        }
        Ok(statistics)
    }
}

fn device_type_statistics(
    device_type: String,
    mut versions: Vec<GatewayCount>,
    released: &[String],
) -> DeviceTypeStatistics {
    let latest_version = latest(released.iter().map(String::as_str));
    let mut all = GatewayTotals::default();
    for count in &versions {
        let behind = needs_upgrade(count.current_version.as_deref(), latest_version);
        all.add(GatewayTotals {
            total: count.total,
            online: count.online,
            need_upgrade: if behind { count.total } else { 0 },
        });
    }
    versions
        .sort_by(|a, b| highest_first(a.current_version.as_deref(), b.current_version.as_deref()));
    DeviceTypeStatistics {
        device_type,
        all,
        latest_version: latest_version.map(str::to_owned),
        versions,
    }
}
