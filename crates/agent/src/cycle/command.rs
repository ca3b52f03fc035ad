use std::{fs, io};

use airlift_package::Content;
use airlift_proto::{Command, Message, ReportState, UpgradeData, error_code};
use serde::{Deserialize, Serialize};

use super::{Cycle, CycleError, Summary, desk::under_way_file, device_version, update::Errand};
use crate::{
    clock,
    control::{Control, Progress},
    disk::none_if_missing,
    plan::{self, Offer, Source},
    remote::{Remote, digest},
    stage::Trouble,
    state::State,
};

/// `under_way.json`: what the server knows to be under way. A restart goes on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnderWay {
    /// An `ota_upgrade`, until its last report is kept.
    Command(Box<Message<UpgradeData>>),
    /// What the device began on its own: its message id.
    Task(String),
}

impl UnderWay {
    fn msg_id(&self) -> &str {
        match self {
            UnderWay::Command(command) => msg_id(command),
            UnderWay::Task(msg_id) => msg_id,
        }
    }
}

/// A command that can be carried out: what it asks for, from where.
struct Commanded {
    offer: Offer,
    errand: Errand,
}

fn msg_id(command: &Message<UpgradeData>) -> &str {
    let inner = command.data.msg_id.as_deref();
    inner.or(command.msg_id.as_deref()).unwrap_or_default()
}

impl Cycle<'_> {
    /// The command to carry out: one that waits at the server, or one that a restart interrupted.
    pub(super) fn next_command(
        &self,
        control: &Control,
        summary: &mut Summary,
    ) -> Result<Option<Message<UpgradeData>>, CycleError> {
        let fetched = control.command();
        self.pulse.beat();
        match fetched {
            Ok(Some(Command::Upgrade(command))) => {
                let under_way = UnderWay::Command(Box::new(command.clone()));
                if self
                    .under_way()
                    .is_some_and(|it| matches!(it, UnderWay::Task(_)))
                {
                    self.give_up_task(control, "the server commands another update")?;
                }
                self.keep_under_way(&under_way)?;
                return Ok(Some(command));
            }
            Ok(Some(Command::Cancel(cancel))) => self.cancel(&cancel.data.msg_id)?,
            Ok(None) => {}
            Err(error) => summary.unreachable.push(format!("command: {error}")),
        }
        Ok(match self.under_way() {
            Some(UnderWay::Command(command)) => Some(*command),
            _ => None,
        })
    }

    /// Carries out a command.
    pub(super) fn execute(
        &self,
        control: &Control,
        command: &Message<UpgradeData>,
        summary: &mut Summary,
    ) -> Result<(), CycleError> {
        let version = &command.data.version;
        let now = clock::unix_seconds();
        if command.data.not_before.is_some_and(|begin| begin > now) {
            let line = format!("{version}: the server lets it begin later");
            summary.waiting.push(line);
            return Ok(());
        }
        let remote = Remote::new(self.http, self.pulse);
        let (offer, errand) = match self.commanded(&remote, command) {
            Ok(Some(commanded)) => (commanded.offer, commanded.errand),
            Ok(None) => {
                let line = format!("{version}: its content.json cannot be fetched now");
                summary.unreachable.push(line);
                return Ok(());
            }
            Err(trouble) => return self.refuse(command, &trouble, summary),
        };
        let state = State::load(self.folders)?;
        let mut world = self.world(&state);
        let package = &offer.content.package;
        let known = state.failed.get(package);
        if command.data.force_upgrade {
            world.failed.clear();
        } else if let Some(known) = known.filter(|it| it.content_digest == offer.digest) {
            let message = format!(
                "{package} {version} failed on this device ({}): {}; forceUpgrade, or \
                 `airlift-agent retry {package}`, has it tried again",
                known.code, known.message
            );
            let trouble = Trouble::new(constant(&known.code), message);
            return self.refuse(command, &trouble, summary);
        }
        let plan = match plan::pinned(&world, &remote, offer) {
            Ok(plan) => plan,
            Err(error) => {
                summary.unreachable.push(error.to_string());
                return Ok(());
            }
        };
        if let Some(refused) = plan.refused.first() {
            let trouble = Trouble::new(refused.code, refused.message.clone());
            return self.refuse(command, &trouble, summary);
        }
        if plan.transactions.is_empty() {
            let line = format!("{version}: is what is installed");
            summary.waiting.push(line);
            return self.conclude(command, ReportState::Completed, None);
        }
        for offers in plan.transactions {
            self.update(control, &remote, offers, &errand, summary)?;
        }
        Ok(())
    }

    /// What a command asks for; none if the server cannot be asked now.
    fn commanded(
        &self,
        remote: &Remote,
        command: &Message<UpgradeData>,
    ) -> Result<Option<Commanded>, Trouble> {
        let data = &command.data;
        let first = &self.config.packages[0];
        let wrong = |why: String| Trouble::new(error_code::WRONG_TARGET, why);
        let manifest_url = data.manifest_url.as_deref();
        let Some(manifest_url) = manifest_url.filter(|_| data.kind.as_deref() == Some("package"))
        else {
            let why = format!(
                "{} is no package; release a package for this device type",
                data.version
            );
            return Err(wrong(why));
        };
        let (content, bytes) = match remote.manifest(manifest_url) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let why = format!("{manifest_url}: the version was withdrawn");
                return Err(Trouble::new(error_code::DOWNLOAD_FAILED, why));
            }
            Err(error) => {
                tracing::warn!(%error, "the command waits");
                return Ok(None);
            }
        };
        if content.package != first.package {
            return Err(wrong(format!(
                "{} is not this device's first package, {}",
                content.package, first.package
            )));
        }
        self.check_digest(data, &content)?;
        Ok(Some(Commanded {
            errand: Errand {
                msg_id: Some(msg_id(command).to_owned()),
                file_url: Some(data.firmware_url.clone()),
                signature_url: data.signature_url.clone(),
            },
            offer: Offer {
                digest: digest(&bytes),
                source: Source {
                    package: content.package.clone(),
                    branch: content.branch.clone(),
                    remote: first.remote.clone(),
                },
                content,
                bytes,
            },
        }))
    }

    fn check_digest(&self, data: &UpgradeData, content: &Content) -> Result<(), Trouble> {
        let commanded = data.sha256.as_deref().map(str::to_ascii_lowercase);
        if commanded.is_none_or(|it| it == content.sha256()) {
            return Ok(());
        }
        Err(Trouble::new(
            error_code::DIGEST_MISMATCH,
            format!(
                "{} {}: its content.json names another file than the command; release it again",
                content.package, content.version
            ),
        ))
    }

    /// Ends a command that is not carried out.
    fn refuse(
        &self,
        command: &Message<UpgradeData>,
        trouble: &Trouble,
        summary: &mut Summary,
    ) -> Result<(), CycleError> {
        tracing::error!(code = trouble.code, "refused: {trouble}");
        summary.refused.push(format!("{}: {trouble}", trouble.code));
        self.conclude(command, ReportState::Failed, Some(trouble))
    }

    /// The last report of a command that needed no transaction.
    fn conclude(
        &self,
        command: &Message<UpgradeData>,
        state: ReportState,
        trouble: Option<&Trouble>,
    ) -> Result<(), CycleError> {
        let (id, target) = (msg_id(command), command.data.version.as_str());
        self.last_word(id, target, state, trouble)?;
        self.forget_under_way().map_err(|it| self.folder_error(it))
    }

    fn last_word(
        &self,
        msg_id: &str,
        target: &str,
        state: ReportState,
        trouble: Option<&Trouble>,
    ) -> Result<(), CycleError> {
        let version = device_version(self.config, &State::load(self.folders)?);
        let is_completed = state == ReportState::Completed;
        let report = Progress {
            device: &self.config.device,
            msg_id: Some(msg_id),
            state,
            progress: if is_completed { 100 } else { 0 },
            current_version: &version,
            target_version: target,
            error_code: trouble.map(|it| it.code),
            error_message: trouble.map(|it| it.message.as_str()),
        };
        // Message ids may have letters that file names should not.
        let id = digest(msg_id.as_bytes());
        let kept = self.desk().put(&id[..32], &report.report());
        kept.map_err(|error| self.folder_error(error))
    }

    /// Ends what is under way, if it is that.
    pub(super) fn cancel(&self, msg_id: &str) -> Result<(), CycleError> {
        let Some(under_way) = self.under_way().filter(|it| it.msg_id() == msg_id) else {
            return Ok(());
        };
        let target = match &under_way {
            UnderWay::Command(command) => command.data.version.clone(),
            UnderWay::Task(_) => String::new(),
        };
        tracing::warn!(msg_id, "the server cancelled the update");
        let trouble = Trouble::new(error_code::CANCELLED, "the server cancelled the update");
        self.last_word(msg_id, &target, ReportState::Failed, Some(&trouble))?;
        self.forget_under_way().map_err(|it| self.folder_error(it))
    }

    /// Ends a task of our own that is not gone on with.
    pub(super) fn give_up_task(&self, control: &Control, why: &str) -> Result<(), CycleError> {
        let Some(UnderWay::Task(msg_id)) = self.under_way() else {
            return Ok(());
        };
        let trouble = Trouble::new(error_code::CANCELLED, why);
        self.last_word(&msg_id, "", ReportState::Failed, Some(&trouble))?;
        self.forget_under_way()
            .map_err(|it| self.folder_error(it))?;
        // At once: the server takes no other task before. What fails stays in the outbox.
        let _ = self.outbox().flush(control);
        Ok(())
    }

    pub(super) fn under_way(&self) -> Option<UnderWay> {
        let bytes = fs::read(under_way_file(self.folders)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn keep_under_way(&self, under_way: &UnderWay) -> Result<(), CycleError> {
        if self.under_way().as_ref() == Some(under_way) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(under_way).unwrap_or_default();
        let kept = self
            .disk
            .write_synced(&under_way_file(self.folders), &bytes, 0o600);
        kept.map_err(|error| self.folder_error(error))
    }

    pub(super) fn forget_under_way(&self) -> io::Result<()> {
        none_if_missing(self.disk.remove(&under_way_file(self.folders))).map(|_| ())
    }
}

/// The constant that a kept code is.
fn constant(code: &str) -> &'static str {
    use error_code::*;
    [
        SCRIPT_FAILED,
        SCRIPT_TIMEOUT,
        HEALTH_FAILED,
        UNPACK_FAILED,
        DIGEST_MISMATCH,
        UNSIGNED,
        UNTRUSTED_KEY,
        BAD_SIGNATURE,
        INTERRUPTED,
    ]
    .into_iter()
    .find(|it| *it == code)
    .unwrap_or(INSTALL_FAILED)
}
