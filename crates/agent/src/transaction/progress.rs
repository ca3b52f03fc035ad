use std::path::PathBuf;

use crate::{
    journal::{Record, Was},
    script::Stage,
};

use super::{Failure, Transaction};

/// How far a transaction is: the sum of its records.
pub struct Progress {
    pub transaction: Transaction,
    /// Of the steps that began, in their order.
    pub begun: Vec<Begun>,
    /// The command that was started last.
    pub script: Option<(usize, Stage)>,
    pub failure: Option<Failure>,
    pub undone: bool,
    /// Unix seconds.
    pub committed: Option<i64>,
    /// Steps whose `restore` is over.
    pub restored: Vec<usize>,
    pub warnings: Vec<String>,
    pub ended: bool,
}

/// What a step that began found.
pub struct Begun {
    pub was: Was,
    /// Folders above `local` that the agent makes, the topmost first.
    pub missing: Vec<PathBuf>,
    /// Once the swap was announced: whether what stood at `local` is kept beside it.
    pub swap: Option<bool>,
}

impl Progress {
    pub fn new(transaction: Transaction) -> Progress {
        Progress {
            transaction,
            begun: Vec::new(),
            script: None,
            failure: None,
            undone: false,
            committed: None,
            restored: Vec::new(),
            warnings: Vec::new(),
            ended: false,
        }
    }

    /// What the records come to, or which of them (counted from 0) cannot be there. `None` if
    /// there are none.
    pub fn of(records: Vec<Record>) -> Result<Option<Progress>, usize> {
        let mut records = records.into_iter().enumerate();
        let mut progress = match records.next() {
            None => return Ok(None),
            Some((_, Record::Begun { transaction })) if !transaction.steps.is_empty() => {
                Progress::new(transaction)
            }
            Some((index, _)) => return Err(index),
        };
        for (index, record) in records {
            if !progress.fits(&record) {
                return Err(index);
            }
            progress.add(record);
        }
        Ok(Some(progress))
    }

    fn fits(&self, record: &Record) -> bool {
        let begun = |step: usize| step < self.begun.len();
        !self.ended
            && match record {
                Record::Begun { .. } => false,
                Record::Step { step, .. } => {
                    *step == self.begun.len() && *step < self.transaction.steps.len()
                }
                Record::Script { step, .. }
                | Record::Swap { step, .. }
                | Record::Restored { step, .. } => begun(*step),
                Record::Committed { .. } => {
                    self.failure.is_none() && self.begun.len() == self.transaction.steps.len()
                }
                Record::Failed { .. } | Record::Undone => self.committed.is_none(),
                Record::Ended => true,
            }
    }

    pub fn add(&mut self, record: Record) {
        match record {
            Record::Begun { .. } => {}
            Record::Step { was, missing, .. } => self.begun.push(Begun {
                was,
                missing,
                swap: None,
            }),
            Record::Script { step, stage } => self.script = Some((step, stage)),
            Record::Swap { step, kept } => self.begun[step].swap = Some(kept),
            Record::Failed { failure } => self.failure = Some(failure),
            Record::Undone => self.undone = true,
            Record::Committed { at } => self.committed = Some(at),
            Record::Restored { step, warning } => {
                self.restored.push(step);
                self.warnings.extend(warning);
            }
            Record::Ended => self.ended = true,
        }
    }
}
