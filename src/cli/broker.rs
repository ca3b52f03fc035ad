//! `airlift broker …`: files for an outside broker, from the server's HTTP API.

use std::{
    fmt::Write as _,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::{
    answer::{self, Page},
    client::{Client, ServerArgs},
    console::{Console, Outcome, ended},
    private_file::replace,
};

/// Where servers announce releases. The slash in front is part of the topic.
const ANNOUNCEMENTS: &str = "/jxct/ota/available";

#[derive(Args, Clone, Debug)]
pub struct BrokerArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: BrokerCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum BrokerCommand {
    /// Write Mosquitto's `passwords` and `acl`, and print the lines for its mosquitto.conf
    ///
    /// In a `passwords` that is there, the servers' user and those named by --keep stay as they are.
    /// Run it again when gateways have come or gone, then send Mosquitto SIGHUP.
    #[command(after_help = "Example:\n  \
        airlift broker mosquitto --out /etc/mosquitto/airlift\n  \
        mosquitto_passwd /etc/mosquitto/airlift/passwords airlift\n  \
        pkill -HUP mosquitto")]
    Mosquitto(FilesArgs),
    /// Write EMQX's `users.csv` and `acl.conf`, and print how to give them to it
    #[command(after_help = "Example:\n  \
        airlift broker emqx --out emqx")]
    Emqx(FilesArgs),
}

#[derive(Args, Clone, Debug)]
struct FilesArgs {
    /// Folder of the files; made if it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The servers' user name at the broker
    #[arg(long, value_name = "NAME", default_value = "airlift")]
    server_user: String,
    /// The server's --topic-prefix
    #[arg(long, value_name = "PREFIX", default_value = "hanqi")]
    topic_prefix: String,
    /// Let gateways hear the announcements of releases, too
    #[arg(long)]
    announcements: bool,
    /// Another user of Mosquitto's password file that stays as it is; may be given several times
    #[arg(long, value_name = "USER")]
    keep: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    gateway_id: String,
    sha256: String,
    mosquitto: String,
}

/// Carries out a command; an error is a sentence for the person who gave it.
pub async fn run(args: BrokerArgs, mut console: Console<'_>) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let (BrokerCommand::Mosquitto(files) | BrokerCommand::Emqx(files)) = &args.command;
    files.check()?;
    let logins = logins(&client).await?;
    fs::create_dir_all(&files.out)
        .with_context(|| format!("can't make the folder {}", files.out.display()))?;
    ended(match &args.command {
        BrokerCommand::Mosquitto(files) => mosquitto(files, &logins, &mut console),
        BrokerCommand::Emqx(files) => emqx(files, &logins, &mut console),
    })
}

impl FilesArgs {
    fn check(&self) -> Result<()> {
        let user = &self.server_user;
        ensure!(
            !user.is_empty() && !user.contains([':', '#', '+', '/', '"', ',', ' ', '\r', '\n']),
            "--server-user {user:?} must be a plain name"
        );
        let prefix = &self.topic_prefix;
        ensure!(
            !prefix.is_empty() && !prefix.contains(['#', '+', '%', '"', '\0', '\r', '\n']),
            "--topic-prefix {prefix:?} must be the topic that the server has, without + and #"
        );
        Ok(())
    }
}

async fn logins(client: &Client) -> Result<Vec<Login>> {
    let mut logins = Vec::new();
    let mut query = Vec::new();
    loop {
        let data = client.get(&["broker", "logins"], &query).await?;
        let page: Page<Login> = answer::read(&data)?;
        logins.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query = vec![("cursor", cursor)],
            None => return Ok(logins),
        }
    }
}

fn mosquitto(files: &FilesArgs, logins: &[Login], console: &mut Console<'_>) -> Result<Outcome> {
    let passwords = files.out.join("passwords");
    let kept: Vec<&str> = [&files.server_user]
        .into_iter()
        .chain(&files.keep)
        .map(String::as_str)
        .collect();
    let mut text = kept_users(&passwords, &kept)?;
    let has_server = text
        .lines()
        .any(|line| line.starts_with(&format!("{}:", files.server_user)));
    // A colon ends the user name.
    let (usable, others): (Vec<_>, Vec<_>) = logins.iter().partition(|login| {
        let id = login.gateway_id.as_str();
        !id.contains(':') && !kept.contains(&id)
    });
    for login in &usable {
        writeln!(text, "{}:{}", login.gateway_id, login.mosquitto)?;
    }
    replace(&passwords, text.as_bytes())?;
    let acl = files.out.join("acl");
    replace(&acl, mosquitto_acl(files).as_bytes())?;
    for login in others {
        writeln!(
            console.notes,
            "warning: gateway {} is left out: Mosquitto has no user names with a colon, and those that \
             are kept are no gateways'",
            login.gateway_id
        )?;
    }
    writeln!(
        console.notes,
        "{} gateways are in {}. In mosquitto.conf:\n",
        usable.len(),
        passwords.display()
    )?;
    writeln!(
        console.out,
        "allow_anonymous false\npassword_file {}\nacl_file {}\n\n\
         # For the airlift servers alone: gateways must not reach it.\n\
         listener 1883 127.0.0.1\n\n\
         # For gateways. Their client ids are their user names, so none takes another's session.\n\
         listener 8883\n\
         use_username_as_clientid true",
        absolute(&passwords),
        absolute(&acl)
    )?;
    let server = match has_server {
        true => String::new(),
        false => format!(
            "The servers have no password there yet:\n  mosquitto_passwd {} {}\n",
            passwords.display(),
            files.server_user
        ),
    };
    writeln!(
        console.notes,
        "\nMosquitto must be able to read both files, and nobody else.\n{server}\
         Run this again when gateways have come or gone, then send Mosquitto SIGHUP."
    )?;
    Ok(Outcome::Done)
}

/// The lines of the users that are no gateways; others are not kept, for they may be revoked.
fn kept_users(passwords: &Path, kept: &[&str]) -> Result<String> {
    let text = match fs::read_to_string(passwords) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("can't read {}", passwords.display()));
        }
    };
    let user = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let lines = text
        .lines()
        .filter(|line| kept.contains(&user(line).as_str()));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

fn absolute(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

fn mosquitto_acl(files: &FilesArgs) -> String {
    let (user, prefix) = (&files.server_user, &files.topic_prefix);
    let announcements = match files.announcements {
        true => format!("\n# Everyone hears of releases.\npattern read {ANNOUNCEMENTS}\n"),
        false => String::new(),
    };
    format!(
        "# Who may use which topic. By airlift broker mosquitto.\n\n\
         # The airlift servers.\n\
         user {user}\n\
         topic readwrite {prefix}/#\n\
         topic write {ANNOUNCEMENTS}\n\n\
         # Each gateway its own topics alone; %u is the user name, which is the gateway's id.\n\
         pattern read {prefix}/gateway/%u/command\n\
         pattern write {prefix}/gateway/%u/report\n\
         pattern write {prefix}/gateway/%u/status\n{announcements}"
    )
}

fn emqx(files: &FilesArgs, logins: &[Login], console: &mut Console<'_>) -> Result<Outcome> {
    let users = files.out.join("users.csv");
    let mut text = "user_id,password_hash,salt,is_superuser\n".to_owned();
    for login in logins {
        // Without a salt: what is hashed is 256 random bits.
        writeln!(text, "{},{},,false", login.gateway_id, login.sha256)?;
    }
    replace(&users, text.as_bytes())?;
    let acl = files.out.join("acl.conf");
    replace(&acl, emqx_acl(files).as_bytes())?;
    writeln!(
        console.notes,
        "{} gateways are in {}. In EMQX:\n\
         - Authentication: Password-Based, Built-in Database, user ID type username, password hash \
         sha256, salt position disable; import users.csv; add the user {} for the servers.\n\
         - Authorization: File, with acl.conf; no match: deny; deny action: disconnect.",
        logins.len(),
        users.display(),
        files.server_user
    )?;
    Ok(Outcome::Done)
}

fn emqx_acl(files: &FilesArgs) -> String {
    let (user, prefix) = (&files.server_user, &files.topic_prefix);
    let announcements = match files.announcements {
        true => format!("{{allow, all, subscribe, [\"{ANNOUNCEMENTS}\"]}}.\n"),
        false => String::new(),
    };
    format!(
        "%% Who may use which topic. By airlift broker emqx.\n\
         {{allow, {{username, \"{user}\"}}, all, [\"{prefix}/#\", \"$share/airlift/{prefix}/#\", \
         \"{ANNOUNCEMENTS}\"]}}.\n\
         {{allow, all, subscribe, [\"{prefix}/gateway/${{username}}/command\"]}}.\n\
         {{allow, all, publish, [\"{prefix}/gateway/${{username}}/report\", \
         \"{prefix}/gateway/${{username}}/status\"]}}.\n\
         {announcements}{{deny, all}}.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(announcements: bool) -> FilesArgs {
        FilesArgs {
            out: PathBuf::new(),
            server_user: "airlift".to_owned(),
            topic_prefix: "hanqi".to_owned(),
            announcements,
            keep: Vec::new(),
        }
    }

    fn rules(acl: &str) -> Vec<&str> {
        let is_rule = |line: &&str| !line.is_empty() && !line.starts_with('#');
        acl.lines().filter(is_rule).collect()
    }

    #[test]
    fn the_rules_that_are_shipped_are_those_that_are_written() {
        let shipped = include_str!("../../deploy/mosquitto.acl");
        let written = mosquitto_acl(&files(true));
        assert_eq!(rules(shipped), rules(&written));
        assert_eq!(rules(&mosquitto_acl(&files(false))).len(), 6);
    }

    #[test]
    fn a_prefix_or_a_user_that_would_be_another_rule_is_refused() {
        for (user, prefix) in [
            ("airlift\ntopic readwrite #", "hanqi"),
            ("a:b", "hanqi"),
            ("", "hanqi"),
            ("airlift", "hanqi/#"),
            ("airlift", "%u"),
            ("airlift", "a\nuser b"),
            ("airlift", ""),
        ] {
            let files = FilesArgs {
                server_user: user.to_owned(),
                topic_prefix: prefix.to_owned(),
                ..files(false)
            };
            assert!(files.check().is_err(), "{user:?} {prefix:?}");
        }
        files(false).check().unwrap();
    }
}
