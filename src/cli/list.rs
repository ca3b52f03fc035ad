use anyhow::Result;
use serde_json::Value;

use super::{
    answer::Page,
    client::Client,
    console::{Console, Outcome},
    table::Table,
};

/// Most entries of a page of the API.
const PAGE_MAX: usize = 500;

/// A list of the API.
pub struct List<'l> {
    /// Begins after `/api/ota`.
    pub path: &'l [&'l str],
    /// What is left out is `None`.
    pub query: &'l [(&'l str, Option<String>)],
    /// Entries to write, at most.
    pub limit: usize,
}

impl List<'_> {
    /// Asks for it page by page and writes it: a row for each entry, or with `json` a line.
    pub async fn write(
        &self,
        client: &Client,
        json: bool,
        mut table: Table,
        row: impl Fn(&Value) -> Result<Vec<String>>,
        console: &mut Console<'_>,
    ) -> Result<Outcome> {
        let query = self.query.iter().cloned();
        let query: Vec<_> = query.filter_map(|(name, it)| Some((name, it?))).collect();
        let mut left = self.limit;
        let mut cursor = None;
        loop {
            let mut query = query.clone();
            query.push(("limit", left.clamp(1, PAGE_MAX).to_string()));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let data = client.get(self.path, &query).await?;
            let page: Page<Value> = serde_json::from_value(data)?;
            left = left.saturating_sub(page.items.len());
            for item in &page.items {
                match json {
                    true => writeln!(console.out, "{item}")?,
                    false => table.row(row(item)?),
                }
            }
            if !json {
                table.write(console.out)?;
            }
            cursor = page.next_cursor;
            if cursor.is_none() || left == 0 {
                break;
            }
        }
        if cursor.is_some() && !json {
            writeln!(console.out, "… and more: --limit shows them")?;
        }
        Ok(Outcome::Done)
    }
}
