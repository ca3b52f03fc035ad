//! Drives a running airlift over its public contract and prints one JSON line per figure, each paired
//! in the same run with a limit of the machine itself: machines differ, ratios less so.

#![allow(dead_code)]

mod figure;
mod figures;
mod http;
mod memory;
mod server;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use figures::{FIGURES, Named};

/// Measures airlift beside the limits of this machine, and prints one JSON line per figure.
///
/// Each figure starts what it needs (airlift, PostgreSQL, Mosquitto, nginx) on free ports of the
/// loopback address, in folders of its own, and takes all of it away again.
#[derive(Parser)]
#[command(after_help = "Examples:\n  \
    airlift-load --list            what there is to measure\n  \
    airlift-load poll ingest       the figures whose names begin so\n  \
    airlift-load --scale 0.01      all, with a hundredth of the work: does it run at all?\n\n\
    Build it with the server: cargo build --release --bin airlift --bin airlift-load")]
struct Options {
    /// Figures to measure: beginnings of their names; all without one
    figures: Vec<String>,
    /// Only name the figures and their aims
    #[arg(long)]
    list: bool,
    /// Value and limit are measured so often in turns; the median of their ratios counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How much of the full work to do; aims are for 1
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How full the database is before: 1, 10 or 100 times 1,000 gateways with a task each
    #[arg(long, default_value_t = 1)]
    data: usize,
}

/// How to measure.
pub struct Plan {
    pub rounds: usize,
    pub scale: f64,
    pub data: usize,
}

impl Plan {
    /// So much of the full work, at least 1.
    pub fn scaled(&self, full: usize) -> usize {
        ((full as f64 * self.scale) as usize).max(1)
    }
}

fn wanted(options: &Options) -> Vec<&'static Named> {
    let begins = |figure: &&Named| {
        let names = &options.figures;
        names.is_empty()
            || names
                .iter()
                .any(|name| figure.name.starts_with(name.as_str()))
    };
    FIGURES.iter().filter(begins).collect()
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let wanted = wanted(&options);
    if wanted.is_empty() {
        eprintln!("airlift-load: there is no such figure; --list names them");
        return Ok(ExitCode::from(2));
    }
    if options.list {
        for figure in wanted {
            println!("{:24} {}", figure.name, figure.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let plan = Plan {
        rounds: options.rounds,
        scale: options.scale,
        data: options.data,
    };
    let mut failed = false;
    for named in wanted {
        eprintln!("measuring {}: {}", named.name, named.about);
        match (named.measure)(&plan) {
            Ok(figures) => figures.iter().for_each(|figure| println!("{figure}")),
            Err(error) => {
                eprintln!("airlift-load: {} can't be measured: {error:#}", named.name);
                failed = true;
            }
        }
    }
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
