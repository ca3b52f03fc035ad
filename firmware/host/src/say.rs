//! What the person watching reads: a line per thing that happens, and a bar for a download.

use std::io::{self, IsTerminal, Write};

use airlift_firmware::Notice;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::{
    args::LogFormat,
    clock,
    faults::{Counts, Seed},
    flaws::Flaw,
};

const BAR: &str = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// Writes to stdout. Clones write to the same place.
#[derive(Clone)]
pub struct Say {
    format: LogFormat,
    bar: Option<ProgressBar>,
}

impl Say {
    /// With `alone`, one gateway at a terminal, a download shows a bar.
    pub fn new(format: LogFormat, alone: bool) -> Self {
        let shows_bar = alone && format == LogFormat::Text && io::stdout().is_terminal();
        let bar = shows_bar.then(|| {
            let style = ProgressStyle::with_template(BAR);
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Say { format, bar }
    }

    /// Says what the core noticed.
    pub fn notice(&self, gateway_id: &str, notice: &Notice<'_>) {
        if let (
            Some(bar),
            Notice::Accepted {
                offset, file_size, ..
            },
        ) = (&self.bar, notice)
        {
            bar.reset();
            bar.set_length(*file_size);
            bar.set_position(*offset);
            bar.set_draw_target(ProgressDrawTarget::stdout());
        }
        if let (Some(bar), Notice::Finished { .. }) = (&self.bar, notice) {
            bar.finish_and_clear();
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let fields = match serde_json::to_value(notice) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        self.line(gateway_id, &notice.to_string(), fields);
    }

    /// Says what the shell saw itself.
    pub fn event(&self, gateway_id: &str, event: &str, text: &str) {
        let mut fields = Map::new();
        fields.insert("event".into(), event.into());
        self.line(gateway_id, text, fields);
    }

    /// Says that a fault of this kind came true.
    pub fn fault(&self, gateway_id: &str, kind: &str, text: &str) {
        let mut fields = Map::new();
        fields.insert("event".into(), "fault".into());
        fields.insert("fault".into(), kind.into());
        self.line(gateway_id, &format!("FAULT: {text}"), fields);
    }

    /// Says by which seed faults come, and at the end which came true.
    pub fn faults(&self, id: &str, seed: Seed, counts: Option<&Counts>) {
        let mut fields = Map::new();
        fields.insert("event".into(), "faults".into());
        fields.insert("seed".into(), seed.0.into());
        let Some(counts) = counts else {
            let text = format!("suffers faults; the same again: --faults {}", seed.0);
            return self.line(id, &text, fields);
        };
        for (name, count) in counts.all() {
            fields.insert(name.into(), count.into());
        }
        let text = format!("suffered, by --faults {}: {counts}", seed.0);
        self.line(id, &text, fields);
    }

    /// Says which of so many gateways have a flaw.
    pub fn flaw(&self, id: &str, flaw: Flaw, gateway_ids: &[&str], gateways: usize) {
        let mut fields = Map::new();
        fields.insert("event".into(), "flaw".into());
        fields.insert("flaw".into(), flaw.name().into());
        fields.insert("count".into(), gateway_ids.len().into());
        fields.insert("gatewayIds".into(), gateway_ids.into());
        let (count, words) = (gateway_ids.len(), flaw.words());
        let ids = gateway_ids.join(" ");
        let text = format!("{count} of {gateways} {words}: {ids}");
        self.line(id, &text, fields);
    }

    /// Bytes of the download that are here.
    pub fn position(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        }
    }

    fn line(&self, gateway_id: &str, text: &str, fields: Map<String, Value>) {
        let line = match self.format {
            LogFormat::Text => format!("{gateway_id} {text}\n"),
            LogFormat::Json => {
                let mut line =
                    json!({ "unixMs": clock::unix_ms(), "gatewayId": gateway_id, "text": text });
                if let Value::Object(line) = &mut line {
                    line.extend(fields);
                }
                format!("{line}\n")
            }
        };
        // Nobody reading is no reason to stop updating.
        let write = || {
            let _ = io::stdout().write_all(line.as_bytes());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
