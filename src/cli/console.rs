//! What all commands read, write and end with.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use anyhow::Result;

/// What a command reads and writes.
pub struct Console<'a> {
    pub input: &'a mut (dyn Read + Send),
    pub out: &'a mut (dyn Write + Send),
    /// For what is no answer, where `out` is for programs.
    pub notes: &'a mut (dyn Write + Send),
    /// Whether `out` is the standard output and a person sits before it.
    pub is_terminal: bool,
}

/// What a command that could be carried out came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The rollout that was watched halted, was cancelled, or gateways failed; the bundle is refused.
    Failures,
    /// By Ctrl-C.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failures => 1,
            // As a shell has it: 128 and the signal's number.
            Outcome::Interrupted => 130,
        })
    }
}

/// A command's end: none is unhappy that who reads the output has seen enough of it.
pub fn ended(result: Result<Outcome>) -> Result<Outcome> {
    match result {
        Err(error) if is_broken_pipe(&error) => Ok(Outcome::Done),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
