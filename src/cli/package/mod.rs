//! `airlift package …`: packages for Linux devices, a client of the server's HTTP API.
//!
//! To add a command: a variant in [`PackageCommand`] and what it does in [`Run::command`].

mod content;
mod pack;
mod push;
mod show;
mod template;

use std::path::PathBuf;

use airlift_package::{Version, is_branch, is_package_name};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use self::show::{Branches, Package};
use super::{
    answer,
    client::{Client, ServerArgs},
    console::{Console, Outcome, ended},
    list::List,
    table::Table,
    text,
};

/// The device type that agents report.
const LINUX: &str = "linux";

#[derive(Args, Clone, Debug)]
pub struct PackageArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the server's data as JSON; of a list, a line per entry
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: PackageCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum PackageCommand {
    /// Write a content.json to begin with, with every key
    #[command(after_help = "Example:\n  \
        airlift package init app && $EDITOR content.json")]
    Init(template::InitArgs),
    /// Upload a version of a package: a folder, or a file as it is
    ///
    /// A folder is packed as tar and zstd, the same bytes for the same files. content.json says what
    /// the package is and how it is installed; its sha256, and what --version and --branch say, is
    /// filled in on the way, and the file stays as it is. Devices that follow the branch take the
    /// version at their next look, if it is the highest.
    #[command(after_help = "Examples:\n  \
        airlift package push dist --content content.json --version 1.2.0\n  \
        airlift package push app.tar.gz --content content.json --branch beta\n  \
        airlift package push dist --content content.json --sign gpg:releases@example.com\n  \
        airlift package push dist --content content.json --dry-run\n\n\
        A key file's passphrase is taken from AIRLIFT_KEY_PASSPHRASE, or asked for on a terminal.")]
    Push(PushArgs),
    /// List versions, the newest upload first
    #[command(after_help = "Examples:\n  \
        airlift package list --branch main\n  \
        airlift package list --json | jq -r 'select(.head) | .name + \" \" + .version'")]
    List(ListArgs),
    /// Show the branches of a package, or one version with its content.json
    #[command(after_help = "Examples:\n  \
        airlift package show app\n  \
        airlift package show app 1.2.0 --json | jq .content")]
    Show(ShowArgs),
    /// Withdraw the highest version of a branch, or all above one
    ///
    /// Devices that follow the branch go back to the highest version that is left. A push of a
    /// withdrawn version gives it out again.
    #[command(after_help = "Examples:\n  \
        airlift package rollback app --branch main\n  \
        airlift package rollback app --branch main --to 1.0.4")]
    Rollback(RollbackArgs),
    /// Delete a version, and its file if nothing else uses it
    Delete(VersionArgs),
    /// Make a version a firmware of a device type, for rollouts, triggers and statistics
    ///
    /// The version must be SemVer.
    #[command(after_help = "Example:\n  \
        airlift package release app 1.2.0 --branch main\n  \
        airlift rollout create 1.2.0 --device-type linux --waves 10,50,100 --watch")]
    Release(ReleaseArgs),
}

#[derive(Args, Clone, Debug)]
struct PushArgs {
    /// Folder to pack, or a file that goes as it is
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// The package's content.json
    #[arg(long, value_name = "FILE")]
    content: PathBuf,
    /// Instead of content.json's
    #[arg(long, value_name = "VERSION", value_parser = version)]
    version: Option<String>,
    /// Instead of content.json's
    #[arg(long, value_name = "BRANCH", value_parser = branch)]
    branch: Option<String>,
    /// Key that signs: a file with a secret key, or gpg: and a key id, fingerprint or user id
    #[arg(long, value_name = "KEY")]
    sign: Option<String>,
    /// How hard a folder is packed; higher is smaller and slower
    #[arg(
        long,
        value_name = "LEVEL",
        default_value_t = pack::LEVEL_MAX,
        value_parser = clap::value_parser!(i32).range(1..=i64::from(pack::LEVEL_MAX))
    )]
    level: i32,
    /// Pack, check and sign, show what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Write what was filled in into the content.json, too, once the server has it
    #[arg(long, conflicts_with = "dry_run")]
    write: bool,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Only of this package
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    /// Only of this branch
    #[arg(long, value_name = "BRANCH", value_parser = branch)]
    branch: Option<String>,
    /// Versions to list
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The package
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// One version of it
    #[arg(value_name = "VERSION", value_parser = version)]
    version: Option<String>,
    /// Branch of the version, if there are several
    #[arg(long, value_name = "BRANCH", value_parser = branch, requires = "version")]
    branch: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct RollbackArgs {
    /// The package
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Branch to roll back
    #[arg(long, value_name = "BRANCH", value_parser = branch)]
    branch: String,
    /// Withdraw all versions above this one [default: the highest alone]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    to: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct VersionArgs {
    /// The package
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// The version
    #[arg(value_name = "VERSION", value_parser = version)]
    version: String,
    /// The version's branch
    #[arg(long, value_name = "BRANCH", value_parser = branch)]
    branch: String,
}

#[derive(Args, Clone, Debug)]
struct ReleaseArgs {
    #[command(flatten)]
    version: VersionArgs,
    /// Device type whose firmware it becomes
    #[arg(long, value_name = "TYPE", default_value = LINUX)]
    device_type: String,
}

fn version(text: &str) -> Result<String, String> {
    let checked = text.parse::<Version>();
    checked.map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    fits(text, is_package_name(text))
}

fn branch(text: &str) -> Result<String, String> {
    fits(text, is_branch(text))
}

fn fits(text: &str, fits: bool) -> Result<String, String> {
    match fits {
        true => Ok(text.to_owned()),
        false => Err(
            "it has 1 to 64 of A-Z a-z 0-9 . _ + -, the first a letter or digit; in a branch / \
             may stand between"
                .to_owned(),
        ),
    }
}

/// Carries out a command; an error is a sentence for the person who gave it.
pub async fn run(args: PackageArgs, mut console: Console<'_>) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let ran = Run {
        client,
        json: args.json,
        console: &mut console,
    };
    ended(ran.command(args.command).await)
}

/// A command being carried out.
struct Run<'r, 'c> {
    client: Client,
    json: bool,
    console: &'r mut Console<'c>,
}

impl Run<'_, '_> {
    async fn command(mut self, command: PackageCommand) -> Result<Outcome> {
        match command {
            PackageCommand::Init(args) => {
                template::write(&args, &self.client, self.json, self.console)
            }
            PackageCommand::Push(args) => {
                push::push(args, &self.client, self.json, self.console).await
            }
            PackageCommand::List(args) => self.list(args).await,
            PackageCommand::Show(args) => self.show(args).await,
            PackageCommand::Rollback(args) => self.rollback(args).await,
            PackageCommand::Delete(args) => self.delete(args).await,
            PackageCommand::Release(args) => self.release(args).await,
        }
    }

    async fn list(&mut self, args: ListArgs) -> Result<Outcome> {
        let table = Table::new(&[
            "PACKAGE",
            "BRANCH",
            "VERSION",
            "STATE",
            " BYTES",
            "SIGNED BY",
            "UPLOADED",
        ]);
        let row = |item: &Value| -> Result<Vec<String>> {
            let package: Package = answer::read(item)?;
            let state = package.state().to_owned();
            let signer = package.signed_by.map(|it| it.name);
            Ok(vec![
                package.name,
                package.branch,
                package.version,
                state,
                package.file_size.to_string(),
                signer.unwrap_or_else(|| "-".to_owned()),
                text::time(package.updated_at),
            ])
        };
        let list = List {
            path: &["packages"],
            query: &[("name", args.name), ("branch", args.branch)],
            limit: args.limit,
        };
        list.write(&self.client, self.json, table, row, self.console)
            .await
    }

    async fn show(&mut self, args: ShowArgs) -> Result<Outcome> {
        let name = args.name.as_str();
        let Some(version) = &args.version else {
            let data = self.client.get(&["packages", name], &[]).await?;
            if self.json {
                return self.json(&data);
            }
            let branches: Branches = answer::read(&data)?;
            show::branches(&branches, self.console.out)?;
            return Ok(Outcome::Done);
        };
        let branch = match args.branch {
            Some(branch) => branch,
            None => self.only_branch(name).await?,
        };
        let query = [("branch", branch)];
        let path = ["packages", name, version];
        let data = self.client.get(&path, &query).await?;
        if self.json {
            return self.json(&data);
        }
        answer::read::<Package>(&data)?.write(self.console.out)?;
        Ok(Outcome::Done)
    }

    async fn only_branch(&self, name: &str) -> Result<String> {
        let data = self.client.get(&["packages", name], &[]).await?;
        let of: Branches = answer::read(&data)?;
        let mut branches: Vec<String> = of.branches.into_iter().map(|it| it.branch).collect();
        match branches.len() {
            1 => branches.pop().context("no branch"),
            _ => bail!(
                "{} has the branches {}: name one with --branch",
                of.name,
                branches.join(", ")
            ),
        }
    }

    async fn rollback(&mut self, args: RollbackArgs) -> Result<Outcome> {
        let RollbackArgs { name, branch, to } = args;
        let mut query = vec![("branch", branch.clone())];
        query.extend(to.map(|to| ("to", to)));
        let path = ["packages", &name, "rollback"];
        let data = self.client.post(&path, &query, None).await?;
        if self.json {
            return self.json(&data);
        }
        let head: Package = answer::read(&data)?;
        let version = head.version;
        writeln!(
            self.console.out,
            "{name} on {branch} goes back to {version}: higher versions are withdrawn\n\n\
             Devices that follow {branch} and run one of them go back to {version} at their next \
             look, as an update with its scripts. Those whose own file says \"downgrade\": \
             \"never\", which is the default where they require signatures, stay where they are.\n\
             A push of a withdrawn version gives it out again."
        )?;
        Ok(Outcome::Done)
    }

    async fn delete(&mut self, args: VersionArgs) -> Result<Outcome> {
        let VersionArgs {
            name,
            version,
            branch,
        } = args;
        let query = [("branch", branch.clone())];
        let path = ["packages", &name, &version];
        let data = self.client.delete(&path, &query).await?;
        if self.json {
            return self.json(&data);
        }
        writeln!(
            self.console.out,
            "{name} {version} is deleted from {branch}; devices that run it go back to the highest \
             version that is left, if that is lower, as after a rollback"
        )?;
        Ok(Outcome::Done)
    }

    async fn release(&mut self, args: ReleaseArgs) -> Result<Outcome> {
        let VersionArgs {
            name,
            version,
            branch,
        } = args.version;
        let device_type = args.device_type;
        let query = [("branch", branch), ("deviceType", device_type.clone())];
        let path = ["packages", &name, &version, "release"];
        let data = self.client.post(&path, &query, None).await?;
        if self.json {
            return self.json(&data);
        }
        writeln!(
            self.console.out,
            "{name} {version} is released for {device_type}\n\n\
             To bring it to devices: airlift rollout create {version} --device-type {device_type}{}",
            self.client.flag()
        )?;
        Ok(Outcome::Done)
    }

    fn json(&mut self, data: &Value) -> Result<Outcome> {
        writeln!(self.console.out, "{data:#}")?;
        Ok(Outcome::Done)
    }
}
