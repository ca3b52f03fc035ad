//! Passphrases of keys in files: from the environment or from a person, never from an argument,
//! which all of the machine can read.

use std::{
    env,
    io::{self, IsTerminal},
};

use anyhow::{Context, Result, bail};
use console::Term;

pub const VARIABLE: &str = "AIRLIFT_KEY_PASSPHRASE";

/// The environment's; an empty one is none.
pub fn from_environment() -> Result<Option<String>> {
    match env::var(VARIABLE) {
        Ok(passphrase) => Ok(Some(passphrase).filter(|it| !it.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => bail!("{VARIABLE} is not UTF-8"),
    }
}

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal, which does not show what is typed. Nothing typed is none.
pub fn ask(question: &str) -> Result<Option<String>> {
    let terminal = Term::stderr();
    let asked = terminal
        .write_str(question)
        .and_then(|()| terminal.read_secure_line());
    let passphrase = asked.context("can't read the passphrase")?;
    Ok(Some(passphrase).filter(|it| !it.is_empty()))
}
