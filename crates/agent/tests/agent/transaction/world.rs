//! A device of three packages that depend on each other, and what it must look like afterwards.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use airlift_agent::{
    disk::Disk,
    folders::Folders,
    stage,
    state::{Installed, State},
    transaction::{Audience, Finished, Limits, Outcome, Step, Transaction, Updater},
};
use airlift_package::Content;
use tempfile::TempDir;

/// A folder for a test: in memory where there is such a place, for the many syncs.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    folder.unwrap()
}

/// What the transaction is to come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Case {
    /// Three packages; all goes well.
    Three,
    /// `AfterUpdate` of the last one exits 1.
    ThreeFail,
    /// The one whose `local` is a folder of its own.
    One,
    OneFails,
    /// On a file system that cannot exchange names.
    OneByRename,
    OneByRenameFails,
}

impl Case {
    pub const ALL: [Case; 6] = [
        Case::Three,
        Case::ThreeFail,
        Case::One,
        Case::OneFails,
        Case::OneByRename,
        Case::OneByRenameFails,
    ];

    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Case::Three | Case::ThreeFail => &["lib", "tool", "app"],
            _ => &["app"],
        }
    }

    pub fn is_without_exchange(self) -> bool {
        matches!(self, Case::OneByRename | Case::OneByRenameFails)
    }

    pub fn fails(self) -> bool {
        use Case::{OneByRenameFails, OneFails, ThreeFail};
        matches!(self, ThreeFail | OneFails | OneByRenameFails)
    }
}

/// Everything that is seen through a path: mode and bytes, by the path in it.
pub type View = BTreeMap<PathBuf, (u32, Vec<u8>)>;

pub struct World {
    pub root: PathBuf,
    pub folders: Folders,
    pub case: Case,
    pub limits: Limits,
    /// Counts transactions: each has its own id.
    pub number: usize,
}

pub const OLD: char = '1';
pub const NEW: char = '2';

impl World {
    /// Makes the device as it stands before.
    pub fn make(root: &Path, case: Case) -> World {
        let world = World::at(root, case);
        let releases = world.folders.releases();
        fs::create_dir_all(&releases).unwrap();
        fs::create_dir_all(root.join("opt/bin")).unwrap();
        let mut state = State::default();
        for package in case.packages() {
            world.stage(package, OLD, &world.release(package, OLD));
            world.stage(package, NEW, &world.release(package, NEW));
            let local = world.local(package);
            let release = (*package != "app").then(|| world.release(package, OLD));
            match &release {
                Some(release) => symlink(release, &local).unwrap(),
                // From before there was an agent.
                None => {
                    fs::remove_dir_all(world.release(package, OLD)).unwrap();
                    world.stage(package, OLD, &local);
                }
            }
            let installed = Installed {
                content: world.content(package, OLD),
                content_digest: digest(package, OLD),
                release,
                previous: None,
                updated_at: 1,
            };
            state.installed.insert((*package).to_owned(), installed);
        }
        state.save(&world.folders, &Disk::default()).unwrap();
        let restore = format!("{}\n", world.said("restore"));
        fs::write(root.join("restore-tool"), restore).unwrap();
        world
    }

    /// One that was made before.
    pub fn at(root: &Path, case: Case) -> World {
        World {
            root: root.to_owned(),
            folders: Folders::new(root.join("state")),
            case,
            limits: Limits {
                script: Duration::from_secs(20),
                health: Duration::from_secs(20),
                health_pause: Duration::from_millis(1),
                grace: Duration::from_millis(200),
            },
            number: 0,
        }
    }

    pub fn local(&self, package: &str) -> PathBuf {
        match package {
            "tool" => self.root.join("opt/bin/tool"),
            package => self.root.join("opt").join(package),
        }
    }

    pub fn release(&self, package: &str, version: char) -> PathBuf {
        let release = self.folders.release(&digest(package, version));
        match package {
            "tool" => release.join("tool"),
            _ => release,
        }
    }

    /// What the device finds in the file of a version.
    pub fn stage(&self, package: &str, version: char, at: &Path) {
        let put = |path: &Path, mode: u32, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{package} {version} {text}\n")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        if package == "tool" {
            return put(at, 0o755, "tool");
        }
        put(&at.join("bin/run"), 0o755, "run");
        put(&at.join("share/data"), 0o640, "data");
        if package == "lib" || version != OLD {
            let path = at.join("restore.sh");
            fs::write(&path, format!("#!/bin/sh\n{}\n", self.said("restore"))).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// A command that writes down that it ran.
    pub fn said(&self, stage: &str) -> String {
        let log = self.log();
        let log = log.display();
        format!("echo \"$OTA_PACKAGE {stage} $OTA_RESULT\" >> {log}")
    }

    pub fn content(&self, package: &str, version: char) -> Content {
        let after = match self.case.fails() && package == "app" && version == NEW {
            true => format!("{}; echo broken; exit 1", self.said("after")),
            false => self.said("after"),
        };
        Content {
            package: package.to_owned(),
            version: format!("{version}.0"),
            branch: "main".to_owned(),
            local: self.local(package).to_str().unwrap().to_owned(),
            sha256: digest(package, version),
            before_update: self.said("before"),
            after_update: after,
            health: self.said("health"),
            restore: match package {
                "tool" => self.root.join("restore-tool").to_str().unwrap().to_owned(),
                _ => "restore.sh".to_owned(),
            },
            ..Content::default()
        }
    }

    fn kept(&self) -> PathBuf {
        self.root.join("transaction.json")
    }

    /// From now on [`World::transaction`] is this, in child processes too.
    pub fn keep(&self, transaction: &Transaction) {
        fs::write(self.kept(), serde_json::to_vec(transaction).unwrap()).unwrap();
    }

    pub fn transaction(&self) -> Transaction {
        if let Ok(kept) = fs::read(self.kept()) {
            return serde_json::from_slice(&kept).unwrap();
        }
        let steps = self.case.packages().iter().map(|package| Step {
            content: self.content(package, NEW),
            content_digest: digest(package, NEW),
            from_version: Some(format!("{OLD}.0")),
            release: self.release(package, NEW),
        });
        Transaction {
            id: format!(
                "{}-{}",
                self.root.file_name().unwrap().display(),
                self.number
            ),
            msg_id: None,
            steps: steps.collect(),
        }
    }

    pub fn with_updater<T>(&self, disk: &Disk, what: impl FnOnce(&Updater<'_>) -> T) -> T {
        let audience = Outbox { world: self, disk };
        what(&Updater {
            folders: &self.folders,
            disk,
            limits: self.limits.clone(),
            device: "device-1",
            audience: &audience,
            shell: Path::new("/bin/sh"),
        })
    }

    pub fn run(&self, transaction: &Transaction) -> Finished {
        let disk = Disk::default();
        let finished = self.with_updater(&disk, |updater| updater.run(transaction.clone()));
        self.sweep(&disk);
        finished.unwrap()
    }

    /// Of the packages that are links from the start.
    pub fn version_of_links(&self) -> Vec<char> {
        let version = |package: &str| {
            let link = fs::read_link(self.local(package)).unwrap();
            let is_new = link == self.release(package, NEW);
            if is_new { NEW } else { OLD }
        };
        ["lib", "tool"].map(version).to_vec()
    }

    pub fn state(&self) -> State {
        State::load(&self.folders).unwrap()
    }

    pub fn recover(&self) -> Result<Option<Finished>, String> {
        let disk = Disk::default();
        let finished = self
            .with_updater(&disk, |updater| updater.recover())
            .map_err(|error| format!("recovery: {error}"))?;
        self.sweep(&disk);
        Ok(finished)
    }

    /// What follows every update and every start.
    pub fn sweep(&self, disk: &Disk) {
        let used = stage::used(&self.state(), &[]);
        stage::sweep(&self.folders, disk, &used).unwrap();
    }

    /// Whether everything is wholly old or wholly new and nothing else is left; which of the two.
    pub fn check(&self) -> Result<char, String> {
        let state = State::load(&self.folders).map_err(|error| error.to_string())?;
        let app_is_new = fs::symlink_metadata(self.local("app")).is_ok_and(|it| it.is_symlink());
        let version = if app_is_new { NEW } else { OLD };
        for package in self.case.packages() {
            self.check_package(package, version, &state)?;
        }
        self.check_rest(version)?;
        self.check_restore(version)?;
        self.check_processes()?;
        Ok(version)
    }

    /// Nothing runs any more. A process that was being started when the agent was killed may be
    /// there for a moment, but does nothing.
    fn check_processes(&self) -> Result<(), String> {
        let log = fs::read(self.log()).unwrap_or_default();
        let is_alone = (0..2000).any(|_| {
            let is_alone = self.processes_left().is_empty();
            if !is_alone {
                thread::sleep(Duration::from_millis(5));
            }
            is_alone
        });
        same("all scripts are gone", &is_alone, &true)?;
        same("log", &fs::read(self.log()).unwrap_or_default(), &log)
    }

    fn check_package(&self, package: &str, version: char, state: &State) -> Result<(), String> {
        let local = self.local(package);
        let expected = self.expected(package, version);
        same(package, &self.view(&local), &self.view(&expected))?;
        let link = fs::read_link(&local).ok();
        let is_link = package != "app" || version == NEW;
        let release = is_link.then(|| self.release(package, version));
        same("what local is", &link, &release)?;
        let installed = &state.installed[package];
        same(
            "version",
            &installed.content,
            &self.content(package, version),
        )?;
        same("release", &installed.release, &release)?;
        let previous = match (version, package) {
            (OLD, _) => None,
            (_, "app") => Some(self.root.join("opt/app.airlift-old")),
            _ => Some(self.release(package, OLD)),
        };
        same("previous", &installed.previous, &previous)
    }

    /// A fresh copy of what a version consists of.
    fn expected(&self, package: &str, version: char) -> PathBuf {
        let path = self.root.join("expected").join(package);
        let _ = fs::remove_dir_all(self.root.join("expected"));
        self.stage(package, version, &path);
        path
    }

    fn check_rest(&self, version: char) -> Result<(), String> {
        let mut expected = vec!["bin"];
        expected.extend(self.case.packages().iter().filter(|name| **name != "tool"));
        if version == NEW {
            expected.push("app.airlift-old");
        }
        expected.sort_unstable();
        same("opt", &names(&self.root.join("opt")), &owned(&expected))?;
        let tool = match self.case.packages().len() {
            1 => vec![],
            _ => vec!["tool"],
        };
        same("opt/bin", &names(&self.root.join("opt/bin")), &owned(&tool))?;
        let mut files = names(self.folders.root());
        files.retain(|name| name != "journal" && name != "outcome");
        same("state folder", &files, &owned(&["releases", "state.json"]))?;
        let journal = fs::read(self.folders.journal()).unwrap_or_default();
        same("journal", &journal, &Vec::new())?;
        let versions = if version == NEW { "12" } else { "1" };
        let packages = self.case.packages().iter();
        let mut releases: Vec<String> = packages
            .flat_map(|package| versions.chars().map(|version| digest(package, version)))
            .filter(|name| *name != digest("app", OLD))
            .collect();
        releases.sort_unstable();
        same("releases", &names(&self.folders.releases()), &releases)
    }

    /// Every step that began was restored, told of the right outcome and of no other.
    fn check_restore(&self, version: char) -> Result<(), String> {
        let result = if version == NEW {
            "updated"
        } else {
            "rolled_back"
        };
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        for package in self.case.packages() {
            let begun = log.contains(&format!("{package} before"));
            let restored = log.contains(&format!("{package} restore {result}\n"));
            if begun && !restored {
                return Err(format!("{package} was not restored as {result}: {log}"));
            }
        }
        let others = |line: &&str| line.contains(" restore ") && !line.ends_with(result);
        same(
            "other restores",
            &log.lines().filter(others).collect(),
            &Vec::new(),
        )?;
        match fs::read_to_string(self.folders.root().join("outcome")) {
            Ok(outcome) => same("outcome", &outcome.as_str(), &result),
            // It had not begun.
            Err(_) => same("log", &log.as_str(), &""),
        }
    }

    pub fn view(&self, path: &Path) -> View {
        let mut view = View::new();
        look(path, Path::new(""), &mut view);
        view
    }

    pub fn processes_left(&self) -> Vec<String> {
        let mark = format!("OTA_TRANSACTION={}", self.transaction().id);
        processes_with(&mark)
    }
}

fn look(path: &Path, name: &Path, view: &mut View) {
    let Ok(there) = fs::metadata(path) else {
        return;
    };
    let bytes = match there.is_dir() {
        true => Vec::new(),
        false => fs::read(path).unwrap(),
    };
    if there.is_dir() {
        for name_in in names(path) {
            look(&path.join(&name_in), &name.join(&name_in), view);
        }
    }
    view.insert(
        name.to_owned(),
        (there.permissions().mode() & 0o7777, bytes),
    );
}

/// 64 hex digits.
pub fn digest(package: &str, version: char) -> String {
    let letter = match package {
        "lib" => 'a',
        "tool" => 'b',
        _ => 'c',
    };
    format!("{letter}{version}").repeat(32)
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what} is {found:?} and not {expected:?}")),
    }
}

/// Processes that have `mark` in their environment, by id.
pub fn processes_with(mark: &str) -> Vec<String> {
    let has = |id: &String| {
        fs::read(format!("/proc/{id}/environ"))
            .is_ok_and(|it| it.split(|byte| *byte == 0).any(|it| it == mark.as_bytes()))
    };
    names(Path::new("/proc"))
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .filter(has)
        .collect()
}

/// Keeps the outcome in a file.
struct Outbox<'a> {
    world: &'a World,
    disk: &'a Disk,
}

impl Audience for Outbox<'_> {
    fn finished(&self, finished: &Finished) -> io::Result<()> {
        let result = match finished.outcome {
            Outcome::Updated => "updated",
            Outcome::RolledBack(_) => "rolled_back",
        };
        let path = self.world.folders.root().join("outcome");
        self.disk.write_synced(&path, result.as_bytes(), 0o600)
    }
}
