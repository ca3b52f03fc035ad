//! Another user, for servers that refuse to run as root.

use std::fs;

use anyhow::{Context, Result, bail};

/// PostgreSQL refuses to run as root; as root, tests use the first of these that exists.
const UNPRIVILEGED_USERS: [&str; 2] = ["postgres", "nobody"];

/// Whom PostgreSQL runs as when the tests run as root.
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// None when the tests do not run as root and nothing has to change.
    pub(crate) fn for_postgres() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        let found = UNPRIVILEGED_USERS.iter().find_map(|name| {
            let line = users
                .lines()
                .find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Self {
                uid: fields.next()?.parse().ok()?,
                gid: fields.next()?.parse().ok()?,
            })
        });
        match found {
            Some(user) => Ok(Some(user)),
            None => bail!(
                "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`"
            ),
        }
    }

    /// The words before a command that make it run as this user.
    pub(crate) fn prefix(&self) -> Vec<String> {
        vec![
            "setpriv".to_owned(),
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
            "--clear-groups".to_owned(),
            "--".to_owned(),
        ]
    }
}
