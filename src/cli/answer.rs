//! The server's answers, read for people.

use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::text::printable;

/// Some of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// `cursor` of the next page; `None` on the last.
    pub next_cursor: Option<String>,
}

/// Reads an answer whose texts can do nothing to a terminal: some are what gateways say.
pub fn read<T: DeserializeOwned>(data: &Value) -> Result<T> {
    serde_json::from_value(harmless(data))
        .context("the server is of another version than this command: use the same on both sides")
}

fn harmless(data: &Value) -> Value {
    match data {
        Value::String(text) => printable(text).into(),
        Value::Array(items) => items.iter().map(harmless).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (printable(name), harmless(value)))
            .collect(),
        other => other.clone(),
    }
}
