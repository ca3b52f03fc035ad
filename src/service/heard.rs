//! The gateways of a batch: loaded at once, what each said applied in memory, stored at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::yield_now;
use uuid::Uuid;

use super::{
    Result, Service,
    make_task::record_task,
    record_messages::{Door, Said, TURN, Tally, storable},
};
use crate::{
    domain::{
        Alert, CommandKind, DEVICE_TYPE_DEFAULT, Event, Gateway, Heartbeat, KeptHeartbeat,
        REGISTERED, ReportRefusal, Task, TaskStatus,
    },
    store::Tx,
};

/// A gateway that comes online is sent its waiting command again after this: time for the one
/// that the broker may have kept for it to be answered.
const HASTEN_DELAY: TimeDelta = TimeDelta::seconds(2);

/// A gateway that said something.
pub(super) struct Heard {
    before: Gateway,
    now: Gateway,
    /// Whether nobody had heard of it before.
    registered: bool,
    /// The newest first.
    tasks: Vec<Tracked>,
    /// Further ones that its reports name, until they do.
    named: Vec<Tracked>,
    /// What it said, in its order.
    said: Vec<Said>,
}

struct Tracked {
    before: Task,
    now: Task,
}

/// What is kept of reports and heartbeats.
#[derive(Default)]
struct Kept {
    /// Each distinct one once.
    reports: BTreeSet<(Uuid, TaskStatus, i16)>,
    heartbeats: Vec<KeptHeartbeat>,
}

/// Loads and locks what is known of the gateways that said something, and the message ids among what they said that
/// are other gateways'. Gateways are locked in the order of their ids, so that servers do not wait in a circle.
pub(super) async fn load(
    tx: &mut Tx,
    words: BTreeMap<&str, Vec<Said>>,
    now: DateTime<Utc>,
) -> Result<(Vec<Heard>, HashSet<String>)> {
    let new = |id: &&str| Gateway::new(id, DEVICE_TYPE_DEFAULT, now);
    let unknown: Vec<Gateway> = words.keys().map(new).collect();
    let ids: Vec<&str> = words.keys().copied().collect();
    let (gateways, registered) = tx.lock_gateways(&unknown).await?;
    let mut newest = by_gateway(tx.lock_newest_tasks(&ids).await?);
    let heard = |(gateway, said): (Gateway, Vec<Said>)| Heard {
        registered: registered.contains(&gateway.gateway_id),
        tasks: newest.remove(&gateway.gateway_id).unwrap_or_default(),
        before: gateway.clone(),
        now: gateway,
        named: Vec::new(),
        said,
    };
    let mut heard: Vec<Heard> = gateways
        .into_iter()
        .zip(words.into_values())
        .map(heard)
        .collect();
    load_unproven(tx, &mut heard).await?;
    let foreign = load_named(tx, &mut heard).await?;
    Ok((heard, foreign))
}

async fn load_unproven(tx: &mut Tx, heard: &mut [Heard]) -> Result<()> {
    let awaiting = heard.iter().filter(|it| it.may_prove_an_earlier_task());
    let ids: Vec<&str> = awaiting.map(Heard::id).collect();
    let mut unproven = by_gateway(tx.lock_unproven_tasks(&ids).await?);
    for heard in heard {
        heard
            .tasks
            .extend(unproven.remove(heard.id()).unwrap_or_default());
    }
    Ok(())
}

async fn load_named(tx: &mut Tx, heard: &mut [Heard]) -> Result<HashSet<String>> {
    let names: BTreeSet<(&str, &str)> = heard.iter().flat_map(Heard::further_names).collect();
    let names: Vec<(&str, &str)> = names.into_iter().collect();
    let own = tx.lock_named_tasks(&names).await?;
    let own_names: HashSet<(&str, &str)> = own
        .iter()
        .map(|task| (task.gateway_id.as_str(), task.msg_id.as_str()))
        .collect();
    let others = names.iter().filter(|name| !own_names.contains(*name));
    let others: Vec<&str> = others.map(|(_, msg_id)| *msg_id).collect();
    let foreign = tx.known_msg_ids(&others).await?;
    let mut own = by_gateway(own);
    for heard in heard {
        heard.named = own.remove(heard.id()).unwrap_or_default();
    }
    Ok(foreign)
}

fn by_gateway(tasks: Vec<Task>) -> HashMap<String, Vec<Tracked>> {
    let mut by_gateway: HashMap<String, Vec<Tracked>> = HashMap::new();
    for task in tasks {
        let tasks = by_gateway.entry(task.gateway_id.clone()).or_default();
        tasks.push(Tracked {
            before: task.clone(),
            now: task,
        });
    }
    by_gateway
}

impl Heard {
    fn id(&self) -> &str {
        &self.now.gateway_id
    }

    fn may_prove_an_earlier_task(&self) -> bool {
        let is_active = |task: &Tracked| task.now.status.is_active();
        let is_heartbeat = |said: &Said| matches!(said, Said::Heartbeat(_));
        self.tasks.first().is_some_and(is_active) && self.said.iter().any(is_heartbeat)
    }

    /// Message ids of reports that are about none of the tasks loaded so far, each with the gateway's own.
    fn further_names(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.said.iter().filter_map(|said| match said {
            Said::Progress { msg_id, .. } => msg_id.as_deref(),
            _ => None,
        });
        let is_further = |name: &&str| self.tasks.iter().all(|task| task.now.msg_id != **name);
        let names = names.filter(is_further);
        names.map(|name| (self.id(), name))
    }

    /// The proof, or refutation, of the newest task; and of one before it that still waits for it.
    fn take_heartbeat(&mut self, heartbeat: &Heartbeat, now: DateTime<Utc>) {
        let Some((newest, earlier)) = self.tasks.split_first_mut() else {
            return;
        };
        newest.now.take_heartbeat(heartbeat, now);
        let version = &heartbeat.firmware_version;
        for task in earlier {
            // That the newest one's version runs says nothing of the one before.
            if *version != newest.now.to_version || *version == task.now.to_version {
                task.now.take_heartbeat(heartbeat, now);
            }
        }
    }

    /// The task that a report is about: the one its message id names, else the active one.
    fn find(
        &mut self,
        msg_id: Option<&str>,
        foreign: &HashSet<String>,
    ) -> std::result::Result<&mut Task, ReportRefusal> {
        let Some(msg_id) = msg_id else {
            let newest = self.tasks.first_mut().map(|task| &mut task.now);
            let active = newest.filter(|task| task.status.is_active());
            return active.ok_or(ReportRefusal::NoActiveTask);
        };
        let is_it = |task: &Tracked| task.now.msg_id == msg_id;
        let position = match self.tasks.iter().position(is_it) {
            Some(position) => position,
            None => {
                let Some(named) = self.named.iter().position(is_it) else {
                    return Err(match foreign.contains(msg_id) {
                        true => ReportRefusal::ForeignTask,
                        false => ReportRefusal::UnknownTask,
                    });
                };
                self.tasks.push(self.named.swap_remove(named));
                self.tasks.len() - 1
            }
        };
        Ok(&mut self.tasks[position].now)
    }
}

impl Service {
    /// Applies what gateways said through a door and stores what became of them, each gateway and task once.
    pub(super) async fn take_in(
        &self,
        tx: &mut Tx,
        words: BTreeMap<&str, Vec<Said>>,
        door: Door,
        now: DateTime<Utc>,
        tally: &mut Tally,
    ) -> Result<()> {
        if words.is_empty() {
            return Ok(());
        }
        let (mut heard, foreign) = load(tx, words, now).await?;
        let mut kept = Kept::default();
        for heard in heard.chunks_mut(TURN) {
            for heard in heard {
                self.apply(heard, &foreign, door, now, &mut kept, tally);
            }
            yield_now().await;
        }
        store(tx, &heard, &kept, now).await?;
        self.tell(tx, heard, now, tally).await
    }

    fn apply(
        &self,
        heard: &mut Heard,
        foreign: &HashSet<String>,
        door: Door,
        now: DateTime<Utc>,
        kept: &mut Kept,
        tally: &mut Tally,
    ) {
        for said in std::mem::take(&mut heard.said) {
            let kind = said.kind();
            match said {
                Said::Heartbeat(heartbeat) => {
                    if heard.now.heard_heartbeat(&heartbeat, now) {
                        kept.heartbeats
                            .extend(self.kept(heard.id(), &heartbeat, now));
                    }
                    heard.take_heartbeat(&heartbeat, now);
                }
                Said::Status(status) if status.online => {
                    heard.now.heard(now);
                    if heard.now.current_version.is_none() {
                        heard.now.current_version =
                            status.firmware_version.map(|version| storable(&version));
                    }
                }
                // The will of a connection that it had before it spoke HTTP.
                Said::Status(_) if heard.now.speaks_http() => {}
                Said::Status(_) => {
                    heard.now.online = false;
                    heard.now.updated_at = now;
                }
                Said::Progress { msg_id, report } => {
                    heard.now.heard(now);
                    let task = match heard.find(msg_id.as_deref(), foreign) {
                        Ok(task) => task,
                        Err(refusal) => {
                            tally.refused.push((heard.id().to_owned(), refusal));
                            continue;
                        }
                    };
                    task.take_progress(&report, now, &self.settings.deadlines);
                    kept.reports
                        .insert((task.task_id, report.status, report.progress));
                }
            }
            tally.stored.push(kind);
        }
        if door == Door::Http {
            heard.now.await_report(now);
        }
    }

    fn kept(&self, id: &str, heartbeat: &Heartbeat, now: DateTime<Utc>) -> Option<KeptHeartbeat> {
        let interval = self.settings.heartbeat_interval?;
        Some(KeptHeartbeat::new(id, heartbeat, now, interval))
    }

    /// Tells of what has changed, and begins what follows from it.
    async fn tell(
        &self,
        tx: &mut Tx,
        heard: Vec<Heard>,
        now: DateTime<Utc>,
        tally: &mut Tally,
    ) -> Result<()> {
        for heard in heard {
            if heard.registered {
                tx.record(Event::gateway(&heard.before, &[REGISTERED], now));
            }
            let change = heard.now.changes_since(&heard.before);
            if !change.is_empty() {
                tx.record(Event::gateway(&heard.now, &change, now));
            }
            for Tracked { before, now: task } in heard.tasks {
                if task != before {
                    record_task(tx, Some(&before), &task, now);
                }
                if task.confirmed_at != before.confirmed_at {
                    tally.queued |= self.begin_next_step(tx, &heard.now, &task, now).await?;
                }
                if (task.status, task.confirmed_at) != (before.status, before.confirmed_at) {
                    if before.status != TaskStatus::Failed {
                        tally.alerts.extend(Alert::of_task(&task));
                    }
                    tally.changed.push(task);
                }
            }
        }
        Ok(())
    }
}

async fn store(tx: &mut Tx, heard: &[Heard], kept: &Kept, now: DateTime<Utc>) -> Result<()> {
    let changed = heard.iter().filter(|it| it.now != it.before);
    let gateways: Vec<&Gateway> = changed.map(|it| &it.now).collect();
    tx.update_gateways(&gateways).await?;
    let tasks = || heard.iter().flat_map(|it| &it.tasks);
    let changed = tasks().filter(|task| task.now != task.before);
    let changed: Vec<&Task> = changed.map(|task| &task.now).collect();
    tx.update_tasks(&changed).await?;
    let pending = |task: &Task| task.status == TaskStatus::Pending;
    let answered = tasks().filter(|task| pending(&task.before) && !pending(&task.now));
    let answered: Vec<Uuid> = answered.map(|task| task.now.task_id).collect();
    tx.delete_commands(&answered, CommandKind::Upgrade).await?;
    let reports: Vec<_> = kept.reports.iter().copied().collect();
    tx.put_task_reports(&reports, now).await?;
    tx.put_heartbeats(&kept.heartbeats).await?;
    let back = heard.iter().filter(|it| it.now.online && !it.before.online);
    let back: Vec<&str> = back.map(Heard::id).collect();
    Ok(tx.hasten_commands(&back, now + HASTEN_DELAY).await?)
}
