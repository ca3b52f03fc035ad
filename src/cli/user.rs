//! `airlift user …`: people who log in on the web page, straight in the database.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::{
    console::{Console, Outcome, ended},
    database::{DatabaseArgs, caller, felt_everywhere},
    passphrase,
    table::Table,
    text::{printable, time},
    token::{role, warn_without_admin},
};
use crate::{
    domain::{Role, User},
    service::{NewUser, Service, UserChanges, UserRef},
};

const PAGE: i64 = 500;
/// Longer ones are refused anyway.
const PASSWORD_BYTES_MAX: usize = 4096;

#[derive(Args, Clone, Debug)]
pub struct UserArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum UserCommand {
    /// Make a user who logs in on the web page
    #[command(after_help = "Examples:\n  \
        airlift user create --name ann --role admin\n  \
        airlift user create --name bob --role viewer --password-file bob.txt\n\n\
        The password is asked for on a terminal, else it is the first line of the standard input.")]
    Create {
        #[command(flatten)]
        user: UserName,
        /// What the user may do: viewer reads, publisher uploads and releases, operator upgrades and
        /// rolls out, admin does everything
        #[arg(long, value_name = "ROLE", value_parser = role)]
        role: Role,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List users, newest first
    List {
        /// Print JSON, a line for each user
        #[arg(long)]
        json: bool,
    },
    /// Change what a user may do; the user's sessions end
    SetRole {
        #[command(flatten)]
        user: UserName,
        /// viewer, publisher, operator or admin
        #[arg(long, value_name = "ROLE", value_parser = role)]
        role: Role,
    },
    /// Give a user another password; the user's sessions end
    SetPassword {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Let a user log in no more; the user's sessions end
    Disable(UserName),
    /// Let a user log in again
    Enable(UserName),
    /// Delete a user; the audit log keeps the name
    Delete(UserName),
}

#[derive(Args, Clone, Debug)]
struct UserName {
    /// What the user logs in with
    #[arg(long, value_name = "NAME")]
    name: String,
}

#[derive(Args, Clone, Debug)]
struct PasswordArgs {
    /// File whose first line is the password, of 12 to 128 characters
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Carries a command out.
pub async fn run(args: UserArgs, service: &Service, mut console: Console<'_>) -> Result<Outcome> {
    let console = &mut console;
    ended(match args.command {
        UserCommand::Create {
            user,
            role,
            password,
        } => create(user.name, role, password, service, console).await,
        UserCommand::List { json } => list(json, service, console).await,
        UserCommand::SetRole { user, role } => {
            let changes = UserChanges {
                role: Some(role),
                ..UserChanges::default()
            };
            let done = format!("has the role {} now", role.as_str());
            edit(user.name, changes, &done, service, console).await
        }
        UserCommand::SetPassword { user, password } => {
            let changes = UserChanges {
                password: Some(read_password(&password, console)?),
                ..UserChanges::default()
            };
            edit(user.name, changes, "has a new password", service, console).await
        }
        UserCommand::Disable(user) => {
            let changes = disabled(true);
            edit(user.name, changes, "is disabled", service, console).await
        }
        UserCommand::Enable(user) => {
            let changes = disabled(false);
            edit(user.name, changes, "may log in again", service, console).await
        }
        UserCommand::Delete(user) => delete(user.name, service, console).await,
    })
}

fn disabled(disabled: bool) -> UserChanges {
    UserChanges {
        disabled: Some(disabled),
        ..UserChanges::default()
    }
}

/// From the file, from a person who types it twice, or from what is piped in.
fn read_password(args: &PasswordArgs, console: &mut Console<'_>) -> Result<String> {
    if let Some(path) = &args.password_file {
        let text = fs::read_to_string(path)
            .with_context(|| format!("can't read the password from {}", path.display()))?;
        return first_line(&text);
    }
    if passphrase::can_ask() {
        let first = passphrase::ask("Password: ")?;
        ensure!(first.is_some(), "no password was typed");
        return match passphrase::ask("The same again: ")? == first {
            true => Ok(first.unwrap_or_default()),
            false => bail!("the two passwords differ; nothing was changed"),
        };
    }
    let mut bytes = Vec::new();
    let mut byte = [0];
    while console.input.read(&mut byte)? == 1 && byte != *b"\n" {
        bytes.push(byte[0]);
        ensure!(
            bytes.len() <= PASSWORD_BYTES_MAX,
            "the password is too long"
        );
    }
    first_line(&String::from_utf8(bytes).context("the password is not UTF-8")?)
}

fn first_line(text: &str) -> Result<String> {
    let line = text.lines().next().unwrap_or_default();
    ensure!(
        !line.is_empty(),
        "a password is missing: type it on a terminal, pipe it in, or name --password-file FILE"
    );
    Ok(line.to_owned())
}

async fn create(
    name: String,
    role: Role,
    password: PasswordArgs,
    service: &Service,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let password = read_password(&password, console)?;
    let new = NewUser {
        name,
        role,
        password,
    };
    let user = service.create_user(&caller(), new).await?;
    writeln!(
        console.out,
        "user {} with the role {} is made",
        printable(&user.name),
        user.role.as_str()
    )?;
    felt_everywhere().await;
    Ok(Outcome::Done)
}

async fn edit(
    name: String,
    changes: UserChanges,
    done: &str,
    service: &Service,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let user = UserRef::Name(name);
    let changed = service.edit_user(&caller(), user, changes).await?;
    writeln!(console.out, "user {} {done}", printable(&changed.now.name))?;
    warn_without_admin(changed.admin_left, console)?;
    felt_everywhere().await;
    Ok(Outcome::Done)
}

async fn delete(name: String, service: &Service, console: &mut Console<'_>) -> Result<Outcome> {
    let deleted = service.delete_user(&caller(), UserRef::Name(name)).await?;
    writeln!(
        console.out,
        "user {} is deleted",
        printable(&deleted.now.name)
    )?;
    warn_without_admin(deleted.admin_left, console)?;
    felt_everywhere().await;
    Ok(Outcome::Done)
}

async fn list(json: bool, service: &Service, console: &mut Console<'_>) -> Result<Outcome> {
    let mut table = Table::new(&["NAME", "ROLE", "STATE", "MADE"]);
    let mut before = Uuid::max();
    loop {
        let page = service.users(before, PAGE).await?;
        for user in &page.items {
            match json {
                true => writeln!(console.out, "{}", as_json(user))?,
                false => table.row([
                    printable(&user.name),
                    user.role.as_str().to_owned(),
                    state(user).to_owned(),
                    time(user.created_at),
                ]),
            }
            before = user.user_id;
        }
        if !page.more {
            break;
        }
    }
    if !json {
        table.write(console.out)?;
    }
    Ok(Outcome::Done)
}

fn state(user: &User) -> &'static str {
    match user.disabled_at {
        Some(_) => "disabled",
        None => "enabled",
    }
}

fn as_json(user: &User) -> serde_json::Value {
    json!({
        "userId": user.user_id,
        "name": user.name,
        "role": user.role.as_str(),
        "disabled": user.disabled_at.is_some(),
        "createdAt": user.created_at,
        "updatedAt": user.updated_at,
    })
}
