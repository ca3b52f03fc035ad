use std::collections::HashMap;

use uuid::Uuid;

use super::{Error, Result, Service, trigger_upgrade::check_gateway_id};
use crate::{
    domain::{EventKind, Firmware, Gateway, GatewayQuery, Task, latest, needs_upgrade},
    store::{FirmwareFilter, GatewayFilter, StoredEvent, TaskFilter, Tx},
};

/// Some of a list, and whether there is more.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub more: bool,
}

/// A gateway, and whether there is something newer for it.
#[derive(Clone, Debug)]
pub struct GatewayView {
    pub gateway: Gateway,
    pub latest_version: Option<String>,
    pub need_upgrade: bool,
}

impl<T> Page<T> {
    /// From a query that asked for one row more than `limit`.
    pub(super) fn cut(mut items: Vec<T>, limit: i64) -> Page<T> {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = items.len() > limit;
        items.truncate(limit);
        Page { items, more }
    }
}

impl Service {
    pub async fn firmwares(&self, mut filter: FirmwareFilter) -> Result<Page<Firmware>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        Ok(Page::cut(tx.firmwares(&filter).await?, limit))
    }

    pub async fn tasks(&self, mut filter: TaskFilter) -> Result<Page<Task>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        Ok(Page::cut(tx.tasks(&filter).await?, limit))
    }

    /// What happened to a task, oldest first.
    pub async fn task_events(&self, task_id: Uuid) -> Result<Vec<StoredEvent>> {
        let mut tx = self.db.read().await?;
        if tx.task(task_id).await?.is_none() {
            return Err(Error::not_found(
                "task_not_found",
                format!("there is no task {task_id}: GET /api/ota/tasks lists those there are"),
            ));
        }
        let mut events = tx.task_events(task_id).await?;
        events.retain(|it| matches!(it.event.kind, EventKind::Task | EventKind::TaskProgress));
        Ok(events)
    }

    pub async fn gateways(&self, mut filter: GatewayFilter) -> Result<Page<GatewayView>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        let page = Page::cut(tx.gateways(&filter).await?, limit);
        let mut latest_versions = HashMap::new();
        let mut items = Vec::with_capacity(page.items.len());
        for gateway in page.items {
            if !latest_versions.contains_key(&gateway.device_type) {
                let latest = latest_version(&mut tx, &gateway.device_type).await?;
                latest_versions.insert(gateway.device_type.clone(), latest);
            }
            let latest = latest_versions[&gateway.device_type].clone();
            items.push(view(gateway, latest));
        }
        Ok(Page {
            items,
            more: page.more,
        })
    }

    /// How many gateways a query means.
    pub async fn count_gateways(&self, query: &GatewayQuery) -> Result<i64> {
        let mut tx = self.db.read().await?;
        Ok(tx.count_gateways_of(query).await?)
    }

    /// Every key that some gateway has a tag of, in their order.
    pub async fn tag_keys(&self) -> Result<Vec<String>> {
        let mut tx = self.db.read().await?;
        Ok(tx.tag_keys().await?)
    }

    pub async fn gateway(&self, gateway_id: &str) -> Result<GatewayView> {
        check_gateway_id(gateway_id)?;
        let mut tx = self.db.read().await?;
        let gateway = tx
            .gateway(gateway_id)
            .await?
            .ok_or_else(|| Error::no_gateway(gateway_id))?;
        let latest = latest_version(&mut tx, &gateway.device_type).await?;
        Ok(view(gateway, latest))
    }
}

async fn latest_version(tx: &mut Tx, device_type: &str) -> Result<Option<String>> {
    let released = tx.released_versions(device_type).await?;
    Ok(latest(released.iter().map(String::as_str)).map(str::to_owned))
}

fn view(gateway: Gateway, latest_version: Option<String>) -> GatewayView {
    GatewayView {
        need_upgrade: needs_upgrade(
            gateway.current_version.as_deref(),
            latest_version.as_deref(),
        ),
        latest_version,
        gateway,
    }
}
