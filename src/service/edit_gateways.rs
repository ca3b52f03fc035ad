use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Error, GatewayView, Result, Service, trigger_upgrade::check_gateway_id};
use crate::{
    domain::{
        Caller, DEVICE_TYPE_DEFAULT, DEVICE_TYPE_LENGTH_MAX, Event, Gateway, GatewayQuery,
        REGISTERED, TagChanges, change_tags, check_tag_key, check_tag_value, is_device_type,
    },
    store::{GatewayEdit, GatewayFilter, Tx},
};

/// Gateways that are locked and written together.
const GATEWAYS_PER_BATCH: usize = 1000;
/// Gateways of a list that the audit log names; each has its event.
const IDS_AUDITED_MAX: usize = 100;

/// What people say of a gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayChanges {
    /// `None` leaves it.
    pub device_type: Option<String>,
    pub tags: TagChanges,
}

/// A line of a list of gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayLine {
    /// From 1.
    pub line: u64,
    pub gateway_id: String,
    pub changes: GatewayChanges,
}

/// What came of a list of gateways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EditedGateways {
    pub gateways: u64,
    /// Of these, never heard of before.
    pub registered: u64,
    /// Of these, otherwise than before; those registered just now are not counted.
    pub changed: u64,
}

impl GatewayChanges {
    /// Refuses what can't be a device type or a tag.
    pub fn check(&self) -> Result<()> {
        if let Some(device_type) = &self.device_type
            && !is_device_type(device_type)
        {
            return Err(Error::invalid(
                "invalid_device_type",
                format!(
                    "{device_type:?} is not a device type: use 1 to {DEVICE_TYPE_LENGTH_MAX} of \
                     A-Z a-z 0-9 . _ - that begin with a letter or digit"
                ),
            ));
        }
        for (key, value) in &self.tags {
            let value = value.as_deref().unwrap_or_default();
            check_tag_key(key)
                .and_then(|()| check_tag_value(value))
                .map_err(|why| Error::invalid("invalid_tag", why))?;
        }
        Ok(())
    }

    fn apply(&self, before: &Gateway, now: DateTime<Utc>) -> Result<GatewayEdit, String> {
        let mut gateway = before.clone();
        if let Some(device_type) = &self.device_type {
            gateway.device_type.clone_from(device_type);
        }
        change_tags(&mut gateway.tags, &self.tags)?;
        if gateway != *before {
            gateway.updated_at = now;
        }
        Ok(GatewayEdit {
            before: before.clone(),
            now: gateway,
        })
    }
}

impl GatewayLine {
    /// Refuses what can't be stored; the refusal names the line.
    pub fn check(&self) -> Result<()> {
        check_gateway_id(&self.gateway_id)
            .and_then(|()| self.changes.check())
            .map_err(|error| in_line(self.line, error.to_string()))
    }
}

fn in_line(line: u64, why: impl std::fmt::Display) -> Error {
    Error::invalid("invalid_csv", format!("line {line}: {why}"))
}

impl Service {
    /// Changes what people say of a gateway.
    pub async fn edit_gateway(
        &self,
        caller: &Caller,
        gateway_id: &str,
        changes: GatewayChanges,
    ) -> Result<GatewayView> {
        check_gateway_id(gateway_id)?;
        changes.check()?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if tx.gateway(gateway_id).await?.is_none() {
            return Err(Error::no_gateway(gateway_id));
        }
        let gateway = tx
            .lock_gateway(&Gateway::new(gateway_id, DEVICE_TYPE_DEFAULT, now))
            .await?;
        let edit = changes
            .apply(&gateway, now)
            .map_err(|why| Error::invalid("too_many_tags", why))?;
        let change = edit.now.changes_since(&edit.before);
        if !change.is_empty() {
            tx.record(Event::gateway(&edit.now, &change, now));
            tx.edit_gateways(std::slice::from_ref(&edit)).await?;
            let detail = json!({ "tags": changes.tags, "deviceType": changes.device_type });
            tx.audit(&caller.did("gateway.edit", gateway_id, detail, now))
                .await?;
        }
        tx.commit().await?;
        self.gateway(gateway_id).await
    }

    /// Changes what people say of many gateways, all or none; those never heard of are registered.
    /// Ids must rise and lines be checked, see [`GatewayLine::check`].
    pub async fn edit_gateways(
        &self,
        caller: &Caller,
        mut lines: impl Iterator<Item = Result<GatewayLine>> + Send,
    ) -> Result<EditedGateways> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut edited = EditedGateways::default();
        // To be told when no row is left to be locked.
        let mut changes = Vec::new();
        loop {
            let batch = lines.by_ref().take(GATEWAYS_PER_BATCH);
            let batch = batch.collect::<Result<Vec<_>>>()?;
            if batch.is_empty() {
                break;
            }
            edited.gateways += batch.len() as u64;
            let batch = edit_batch(&mut tx, &batch, now).await?;
            let registered = batch.iter().filter(|change| change.is_registered()).count();
            edited.registered += registered as u64;
            edited.changed += (batch.len() - registered) as u64;
            changes.extend(batch);
        }
        for changes in changes.chunks(GATEWAYS_PER_BATCH) {
            tell(&mut tx, changes, now).await?;
            tx.write_events().await?;
        }
        if !changes.is_empty() {
            let ids = changes.iter().map(|change| &change.gateway_id);
            let detail = json!({
                "gateways": edited.gateways,
                "registered": edited.registered,
                "changed": edited.changed,
                "gatewayIds": ids.take(IDS_AUDITED_MAX).collect::<Vec<_>>(),
            });
            tx.audit(&caller.did("gateway.import", "gateways", detail, now))
                .await?;
        }
        tx.commit().await?;
        Ok(edited)
    }
}

/// What has changed in a gateway.
struct Change {
    gateway_id: String,
    what: Vec<&'static str>,
}

impl Change {
    fn is_registered(&self) -> bool {
        self.what.first() == Some(&REGISTERED)
    }
}

async fn edit_batch(tx: &mut Tx, lines: &[GatewayLine], now: DateTime<Utc>) -> Result<Vec<Change>> {
    let unknown: Vec<Gateway> = lines
        .iter()
        .map(|line| Gateway::new(&line.gateway_id, DEVICE_TYPE_DEFAULT, now))
        .collect();
    let (gateways, registered) = tx.lock_gateways(&unknown).await?;
    let mut edits = Vec::new();
    let mut changes = Vec::new();
    for (line, gateway) in lines.iter().zip(gateways) {
        let edit = line
            .changes
            .apply(&gateway, now)
            .map_err(|why| in_line(line.line, why))?;
        let mut what = edit.now.changes_since(&edit.before);
        if !what.is_empty() {
            edits.push(edit);
        }
        if registered.contains(&line.gateway_id) {
            what.insert(0, REGISTERED);
        }
        if !what.is_empty() {
            changes.push(Change {
                gateway_id: gateway.gateway_id,
                what,
            });
        }
    }
    tx.edit_gateways(&edits).await?;
    Ok(changes)
}

async fn tell(tx: &mut Tx, changes: &[Change], now: DateTime<Utc>) -> Result<()> {
    let ids = changes.iter().map(|change| change.gateway_id.clone());
    let gateways = tx
        .gateways(&GatewayFilter {
            query: GatewayQuery::ids(ids),
            after: String::new(),
            skip: 0,
            limit: GATEWAYS_PER_BATCH as i64,
        })
        .await?;
    for (change, gateway) in changes.iter().zip(&gateways) {
        tx.record(Event::gateway(gateway, &change.what, now));
    }
    Ok(())
}
