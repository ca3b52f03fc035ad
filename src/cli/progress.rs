//! How far a command is that takes long: on a terminal alone.

use std::io::Read;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Console;

const BAR: &str = "{msg:24} {bar:30} {bytes} of {total_bytes}";
/// Below this all is done at once, bytes.
const SHOWN_BYTES_MIN: u64 = 8 << 20;

/// A bar, or nothing.
pub struct Progress {
    is_terminal: bool,
}

impl Progress {
    pub fn new(console: &Console<'_>) -> Progress {
        Progress {
            is_terminal: console.is_terminal,
        }
    }

    /// Shows nothing.
    #[cfg(test)]
    pub fn hidden() -> Progress {
        Progress { is_terminal: false }
    }

    /// A reader of so many bytes, which shows how far it has come until it is dropped.
    pub fn over<R: Read>(&self, what: &'static str, bytes: u64, input: R) -> Watched<R> {
        let bar = self.bar(what, bytes);
        Watched { input, bar }
    }

    /// Shows how many of so many bytes are done, until it is dropped.
    pub fn bar(&self, what: &'static str, bytes: u64) -> Bar {
        let target = match self.is_terminal && bytes >= SHOWN_BYTES_MIN {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template(BAR);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(bytes), target).with_style(style);
        bar.set_message(what);
        Bar(bar)
    }
}

pub struct Bar(ProgressBar);

impl Bar {
    /// So many bytes more are done.
    pub fn add(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A reader with its bar.
pub struct Watched<R> {
    input: R,
    bar: Bar,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.bar.add(count);
        Ok(count)
    }
}
