//! What the device has, for people and for programs.

use std::{collections::BTreeSet, fs, io};

use serde::Serialize;

use crate::{
    config::Config,
    cycle::{Found, RETRY_ALL, device_version, found_file, retry_folder},
    disk::Disk,
    folders::Folders,
    state::{State, StateError},
};

/// `airlift-agent status --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub device: String,
    /// That of the first package.
    pub version: String,
    /// An update is under way, or was cut short and is ended at the next start.
    pub updating: bool,
    pub packages: Vec<PackageStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageStatus {
    pub package: String,
    /// None: came with another package.
    pub branch: Option<String>,
    /// None: nothing is installed.
    pub installed: Option<String>,
    /// The branch's highest version, as of the last poll.
    pub head: Option<String>,
    pub local: String,
    pub failed: Option<FailedStatus>,
    /// Why the head is not installed, or the server could not be asked.
    pub waits: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedStatus {
    pub version: String,
    pub code: String,
    pub message: String,
    /// Unix seconds.
    pub failed_at: i64,
}

/// Reads what the agent wrote; it need not run, and may.
pub fn read(config: &Config, folders: &Folders) -> Result<Status, StateError> {
    let state = State::load(folders)?;
    let found = fs::read(found_file(folders)).unwrap_or_default();
    let found: Found = serde_json::from_slice(&found).unwrap_or_default();
    let listed = config.packages.iter().map(|it| &it.package);
    let mut names: Vec<&String> = listed.collect();
    let known: BTreeSet<&String> = names.iter().copied().collect();
    names.extend(state.installed.keys().filter(|it| !known.contains(it)));
    let packages = names.into_iter().map(|name| {
        let listed = config.listed(name);
        let installed = state.installed.get(name);
        let came_with_device = listed.filter(|it| {
            !it.version.is_empty()
                && !it.local.is_empty()
                && fs::symlink_metadata(&it.local).is_ok()
        });
        let version = installed.map(|it| &it.content.version);
        let local = installed.map(|it| &it.content.local);
        PackageStatus {
            package: name.clone(),
            branch: listed.map(|it| it.branch.clone()),
            installed: version.or(came_with_device.map(|it| &it.version)).cloned(),
            head: found.heads.get(name).cloned(),
            local: local
                .or(listed.map(|it| &it.local))
                .cloned()
                .unwrap_or_default(),
            failed: state.failed.get(name).map(|it| FailedStatus {
                version: it.version.clone(),
                code: it.code.clone(),
                message: it.message.clone(),
                failed_at: it.failed_at,
            }),
            waits: found
                .refused
                .get(name)
                .or(found.unreachable.get(name))
                .cloned(),
        }
    });
    let journal = fs::metadata(folders.journal());
    Ok(Status {
        device: config.device.clone(),
        version: device_version(config, &state),
        updating: journal.is_ok_and(|it| it.len() > 0),
        packages: packages.collect(),
    })
}

/// The table that `airlift-agent status` prints.
pub fn table(status: &Status) -> String {
    let mut rows = vec![["PACKAGE", "BRANCH", "INSTALLED", "HEAD", "STATE"].map(str::to_owned)];
    let mut notes = String::new();
    for it in &status.packages {
        let is_current = it.head.is_some() && it.head == it.installed;
        let state = match (&it.failed, &it.waits) {
            (Some(failed), _) => format!("{} failed", failed.version),
            (None, Some(_)) => "waits".into(),
            (None, None) if is_current => "current".into(),
            (None, None) => "-".into(),
        };
        if let Some(failed) = &it.failed {
            let (name, version, code) = (&it.package, &failed.version, &failed.code);
            notes += &format!(
                "\n{name} {version}: {code}: {}\n",
                failed.message.trim_end()
            );
            notes += &format!(
                "  It is not tried again until it changes; `airlift-agent retry {name}` has it tried.\n"
            );
        }
        if let Some(why) = &it.waits {
            notes += &format!("\n{}: {why}\n", it.package);
        }
        let or_none = |text: &Option<String>| text.clone().unwrap_or("-".into());
        rows.push([
            it.package.clone(),
            or_none(&it.branch),
            or_none(&it.installed),
            or_none(&it.head),
            state,
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = format!("{} {}\n\n", status.device, status.version);
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        text += line.trim_end();
        text.push('\n');
    }
    if status.updating {
        text += "\nAn update is under way, or was cut short and is ended when the agent starts.\n";
    }
    text + &notes
}

/// Has the agent forget that a package's version failed, all packages' without a name. It does so at
/// its next poll, which an agent that waits begins at once.
pub fn retry(folders: &Folders, disk: &Disk, package: Option<&str>) -> io::Result<()> {
    let folder = retry_folder(folders);
    disk.create_dir_all_synced(&folder)?;
    let marker = folder.join(package.unwrap_or(RETRY_ALL));
    disk.write_synced(&marker, b"", 0o644)
}
