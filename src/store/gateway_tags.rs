use sqlx::{QueryBuilder, types::Json};

use super::{Result, Tx};
use crate::domain::Gateway;

/// Rows per statement; SQLite takes 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 1000;

/// A gateway before and after people have edited it.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayEdit {
    pub before: Gateway,
    pub now: Gateway,
}

impl GatewayEdit {
    fn removed(&self) -> impl Iterator<Item = (&str, &str)> {
        let gone = |key: &&String| !self.now.tags.contains_key(*key);
        let id = self.now.gateway_id.as_str();
        self.before
            .tags
            .keys()
            .filter(gone)
            .map(move |key| (id, key.as_str()))
    }

    fn set(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let id = self.now.gateway_id.as_str();
        self.now
            .tags
            .iter()
            .filter(|(key, value)| self.before.tags.get(*key) != Some(value))
            .map(move |(key, value)| (id, key.as_str(), value.as_str()))
    }
}

impl Tx {
    /// Stores what people say of gateways: tags and device type. Their rows must be locked.
    pub async fn edit_gateways(&mut self, edits: &[GatewayEdit]) -> Result<()> {
        for edits in edits.chunks(ROWS_PER_STATEMENT) {
            on!(self, |conn| {
                let mut update = QueryBuilder::new(
                    "UPDATE gateways
                     SET device_type = v.column2, tags = v.column3, updated_at = v.column4 FROM (",
                );
                update.push_values(edits, |mut row, edit| {
                    row.push_bind(edit.now.gateway_id.as_str())
                        .push_bind(edit.now.device_type.as_str())
                        .push_bind(Json(&edit.now.tags))
                        .push_bind(edit.now.updated_at);
                });
                update.push(") AS v WHERE gateways.gateway_id = v.column1");
                update
                    .build()
                    .persistent(false)
                    .execute(conn)
                    .await
                    .map(drop)
            })?;
        }
        let removed: Vec<_> = edits.iter().flat_map(GatewayEdit::removed).collect();
        for removed in removed.chunks(ROWS_PER_STATEMENT) {
            on!(self, |conn| {
                let mut delete =
                    QueryBuilder::new("DELETE FROM gateway_tags WHERE (gateway_id, key) IN (");
                delete.push_values(removed, |mut row, (gateway_id, key)| {
                    row.push_bind(*gateway_id).push_bind(*key);
                });
                delete.push(")");
                delete
                    .build()
                    .persistent(false)
                    .execute(conn)
                    .await
                    .map(drop)
            })?;
        }
        let set: Vec<_> = edits.iter().flat_map(GatewayEdit::set).collect();
        for set in set.chunks(ROWS_PER_STATEMENT) {
            on!(self, |conn| {
                let mut insert =
                    QueryBuilder::new("INSERT INTO gateway_tags (gateway_id, key, value) ");
                insert.push_values(set, |mut row, (gateway_id, key, value)| {
                    row.push_bind(*gateway_id).push_bind(*key).push_bind(*value);
                });
                insert.push(" ON CONFLICT (gateway_id, key) DO UPDATE SET value = excluded.value");
                insert
                    .build()
                    .persistent(false)
                    .execute(conn)
                    .await
                    .map(drop)
            })?;
        }
        Ok(())
    }

    /// Every key that some gateway has a tag of, in their order.
    pub async fn tag_keys(&mut self) -> Result<Vec<String>> {
        // From each key straight to the next: the table is read only once per key.
        Ok(on!(self, |conn| sqlx::query_scalar::<_, String>(
            "WITH RECURSIVE keys (key) AS (
                 SELECT MIN(key) FROM gateway_tags
                 UNION ALL
                 SELECT (SELECT MIN(t.key) FROM gateway_tags AS t WHERE t.key > keys.key)
                 FROM keys WHERE keys.key IS NOT NULL
             )
             SELECT key FROM keys WHERE key IS NOT NULL ORDER BY key",
        )
        .fetch_all(conn)
        .await)?)
    }
}
