//! Drives a running airlift over its public contract and prints one JSON line per figure, each paired
//! in the same run with a limit of the machine itself: machines differ, ratios less so.

mod commands;
mod figure;
mod figures;
mod fill;
mod growth;
mod http;
mod memory;
mod mqtt;
mod nginx;
mod server;
mod table;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use figure::Figure;
use figures::{FIGURES, Named};
use growth::growth;
use table::table;

/// What one step of `--data` is.
const GATEWAYS_PER_STEP: usize = 1000;

/// Measures airlift beside the limits of this machine, and prints one JSON line per figure.
///
/// Each figure starts what it needs (airlift, PostgreSQL, Mosquitto, nginx) on free ports of the
/// loopback address, in folders of its own, and takes all of it away again.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  \
    airlift-load --list            what there is to measure\n  \
    airlift-load poll ingest       the figures whose names begin so\n  \
    airlift-load --data 1,10,100   does more data make it slower?\n  \
    airlift-load --scale 0.01      all, with a hundredth of the work: does it run at all?\n  \
    airlift-load table FILE        the lines of a run as a table\n\n\
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
    /// How full the database is before, in steps
    ///
    /// A step is 1,000 gateways, each with a tag, 4 heartbeats and an ended task, its 13 reports and
    /// 5 events, and 10 released firmwares. Of several, like 1,10,100, each figure is measured at
    /// each, and a line "growth.FIGURE" tells the exponent of its cost over the data: 0 is flat, 1
    /// is ten times the cost at ten times the data.
    #[arg(long, value_name = "STEPS", value_delimiter = ',', default_value = "1")]
    data: Vec<usize>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the lines of a run as a table in Markdown
    Table {
        /// JSON lines as they were printed
        file: PathBuf,
    },
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

    /// For [`server::Server::fill`].
    pub fn gateways(&self) -> usize {
        self.scaled(GATEWAYS_PER_STEP * self.data)
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
    if let Some(Command::Table { file }) = &options.command {
        let lines = fs::read_to_string(file);
        let lines = lines.with_context(|| format!("reading {}", file.display()))?;
        print!("{}", table(&lines)?);
        return Ok(ExitCode::SUCCESS);
    }
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
    mqtt::allow_connections()?;
    let mut failed = false;
    for named in wanted {
        failed |= !measure(named, &options);
    }
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// At each amount of data; whether all of it could be measured.
fn measure(named: &Named, options: &Options) -> bool {
    let mut measured: Vec<(usize, Figure)> = Vec::new();
    for &data in &options.data {
        eprintln!("measuring {}, data {data}: {}", named.name, named.about);
        let plan = Plan {
            rounds: options.rounds,
            scale: options.scale,
            data,
        };
        match (named.measure)(&plan) {
            Ok(figures) => measured.extend(figures.into_iter().map(|figure| {
                let figure = figure.detail("data", data);
                println!("{figure}");
                (data, figure)
            })),
            Err(error) => {
                eprintln!("airlift-load: {} can't be measured: {error:#}", named.name);
                return false;
            }
        }
    }
    growth(&measured)
        .iter()
        .for_each(|figure| println!("{figure}"));
    true
}
