use std::io;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::{Console, show::Rollout};
use crate::{cli::text::time, domain::Clock};

const BAR: &str = "{prefix}\n{bar:40} {percent:>3} %\n{msg}";
/// Waves that the bar shows: a terminal has few lines.
const WAVES_SHOWN_MAX: usize = 8;

/// Where a watched rollout is shown.
pub struct Screen<'s, 'c> {
    console: &'s mut Console<'c>,
    form: Form,
    /// Whether the server was away at the last look.
    away: bool,
}

enum Form {
    /// Drawn again and again, with what stands below it.
    Bar(ProgressBar, String),
    /// A line per change, with the last one.
    Lines(String),
    /// The data per change, with the last one.
    Json(Value),
}

impl<'s, 'c> Screen<'s, 'c> {
    pub fn new(json: bool, console: &'s mut Console<'c>) -> Self {
        let form = match (json, console.is_terminal) {
            (true, _) => Form::Json(Value::Null),
            (false, false) => Form::Lines(String::new()),
            (false, true) => {
                let style = ProgressStyle::with_template(BAR);
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                let target = ProgressDrawTarget::stdout();
                let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style);
                Form::Bar(bar, String::new())
            }
        };
        Screen {
            console,
            form,
            away: false,
        }
    }

    pub fn show(&mut self, data: &Value, rollout: &Rollout) -> io::Result<()> {
        match &mut self.form {
            Form::Bar(bar, below) => {
                let Rollout {
                    version,
                    device_type,
                    state,
                    ..
                } = rollout;
                *below = below_the_bar(rollout);
                bar.set_prefix(format!("{version} for {device_type}: {state}"));
                bar.set_length(rollout.counters.total);
                bar.set_position(rollout.counters.ended());
                bar.set_message(below.clone());
            }
            Form::Lines(last) => {
                let line = rollout.sentence();
                if line != *last {
                    writeln!(self.console.out, "{} {line}", now())?;
                    *last = line;
                }
            }
            Form::Json(last) => {
                if data != last {
                    writeln!(self.console.out, "{data}")?;
                    last.clone_from(data);
                }
            }
        }
        Ok(())
    }

    /// Says once that the server gave no answer, this being why.
    pub fn away(&mut self, why: &str) -> io::Result<()> {
        if std::mem::replace(&mut self.away, true) {
            return Ok(());
        }
        let text = format!("{why}; the rollout goes on there, and this is tried again");
        match &self.form {
            Form::Bar(bar, below) => bar.set_message(format!("{below}\n{text}")),
            Form::Lines(_) => writeln!(self.console.out, "{} {text}", now())?,
            Form::Json(_) => writeln!(self.console.notes, "{text}")?,
        }
        Ok(())
    }

    /// Says that the server answers again, if it was away.
    pub fn back(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.away, false) {
            return Ok(());
        }
        let text = "the server answers again";
        match &self.form {
            // It is drawn anew without the words that the server is away.
            Form::Bar(..) => Ok(()),
            Form::Lines(_) => writeln!(self.console.out, "{} {text}", now()),
            Form::Json(_) => writeln!(self.console.notes, "{text}"),
        }
    }

    /// Leaves the bar as it stands and says the last words, if there are any.
    pub fn end(self, words: &str) -> io::Result<()> {
        if let Form::Bar(bar, _) = &self.form {
            bar.abandon();
        }
        let out = match &self.form {
            Form::Json(_) => &mut *self.console.notes,
            _ => &mut *self.console.out,
        };
        match words {
            "" => Ok(()),
            words => writeln!(out, "{words}"),
        }
    }
}

fn below_the_bar(rollout: &Rollout) -> String {
    let mut lines = vec![rollout.counters.sentence()];
    let waves = &rollout.wave_counters;
    if waves.len() > 1 {
        // As many of those that come as of those that were.
        let first = rollout.wave.saturating_sub(WAVES_SHOWN_MAX / 2);
        let first = first.min(waves.len().saturating_sub(WAVES_SHOWN_MAX));
        let shown = waves.iter().skip(first).take(WAVES_SHOWN_MAX);
        lines.extend(shown.map(|wave| {
            let counters = wave.counters.sentence();
            format!("wave {:>3} {:>3} %  {counters}", wave.wave, wave.percent)
        }));
    }
    lines.extend(rollout.reason.clone());
    lines.extend(rollout.waiting_for.clone());
    lines.join("\n")
}

fn now() -> String {
    time(Clock::System.now())
}
