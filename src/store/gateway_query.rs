use std::collections::BTreeSet;

use sqlx::{Database, Encode, Postgres, QueryBuilder, Sqlite, Type, types::Json};

use crate::domain::{Comparison, GatewayQuery, GatewayTerm, version_key};

/// What the two databases write differently.
pub(super) trait Dialect: Database {
    /// Appends ` column IN (…)`.
    fn push_one_of(builder: &mut QueryBuilder<Self>, column: &str, values: &BTreeSet<String>);
    /// Appends what locks the rows that are read and passes over those that another transaction has locked.
    fn push_for_update_skip_locked(builder: &mut QueryBuilder<Self>);
}

impl Dialect for Postgres {
    fn push_one_of(builder: &mut QueryBuilder<Self>, column: &str, values: &BTreeSet<String>) {
        builder.push(column).push(" = ANY(");
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        builder.push_bind(values).push(")");
    }

    fn push_for_update_skip_locked(builder: &mut QueryBuilder<Self>) {
        builder.push(" FOR UPDATE SKIP LOCKED");
    }
}

impl Dialect for Sqlite {
    fn push_one_of(builder: &mut QueryBuilder<Self>, column: &str, values: &BTreeSet<String>) {
        builder
            .push(column)
            .push(" IN (SELECT value FROM json_each(");
        builder.push_bind(Json(values)).push("))");
    }

    /// One writer at a time: its transaction is the lock.
    fn push_for_update_skip_locked(_: &mut QueryBuilder<Self>) {}
}

/// Appends the query's conditions on `gateways AS g`, each behind ` AND `: a WHERE stands before
/// them, `WHERE TRUE` say.
pub(super) fn push_query<DB: Dialect>(builder: &mut QueryBuilder<DB>, query: &GatewayQuery)
where
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> bool: Encode<'q, DB> + Type<DB>,
{
    for term in &query.terms {
        builder.push(" AND ");
        push_term(builder, term, None);
    }
}

/// Like [`push_query`], for gateways whose id is greater than `after`, to be read in that order.
pub(super) fn push_query_after<DB: Dialect>(
    builder: &mut QueryBuilder<DB>,
    query: &GatewayQuery,
    after: &str,
) where
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> bool: Encode<'q, DB> + Type<DB>,
{
    builder.push(" AND g.gateway_id > ");
    builder.push_bind(after);
    for term in &query.terms {
        builder.push(" AND ");
        push_term(builder, term, Some(after));
    }
}

fn push_term<DB: Dialect>(builder: &mut QueryBuilder<DB>, term: &GatewayTerm, after: Option<&str>)
where
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> bool: Encode<'q, DB> + Type<DB>,
{
    match term {
        GatewayTerm::HasTag(key) => push_tag(builder, key, None, after),
        GatewayTerm::Tag(key, value) => push_tag(builder, key, Some(value), after),
        GatewayTerm::Version(comparison, key) => {
            builder.push("g.version_key ").push(sign(*comparison));
            builder.push_bind(key.as_str());
        }
        GatewayTerm::VersionUnknown => {
            builder.push("g.version_key IS NULL");
        }
        GatewayTerm::CurrentVersion(version) => {
            // The index is by the key.
            match version_key(version) {
                Some(key) => {
                    builder.push("g.version_key = ");
                    builder.push_bind(key.as_str());
                }
                None => {
                    builder.push("g.version_key IS NULL");
                }
            }
            builder.push(" AND g.current_version = ");
            builder.push_bind(version.as_str());
        }
        GatewayTerm::Online(online) => {
            builder.push("g.online = ");
            builder.push_bind(*online);
        }
        GatewayTerm::DeviceType(device_type) => {
            builder.push("g.device_type = ");
            builder.push_bind(device_type.as_str());
        }
        GatewayTerm::Id(id) => {
            builder.push("g.gateway_id = ");
            builder.push_bind(id.as_str());
        }
        GatewayTerm::IdPrefix(prefix) => {
            builder.push("g.gateway_id >= ");
            builder.push_bind(prefix.as_str());
            builder.push(" AND g.gateway_id < ");
            builder.push_bind(after_prefix(prefix).as_str());
        }
        GatewayTerm::OneOf(ids) => DB::push_one_of(builder, "g.gateway_id", ids),
    }
}

fn push_tag<DB: Dialect>(
    builder: &mut QueryBuilder<DB>,
    key: &str,
    value: Option<&str>,
    after: Option<&str>,
) where
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    builder.push(
        "EXISTS (SELECT 1 FROM gateway_tags AS t WHERE t.gateway_id = g.gateway_id AND t.key = ",
    );
    builder.push_bind(key);
    if let Some(value) = value {
        builder.push(" AND t.value = ");
        builder.push_bind(value);
    }
    // Said again of the tag: a plan that begins there would read all tags up to it.
    if let Some(after) = after {
        builder.push(" AND t.gateway_id > ");
        builder.push_bind(after);
    }
    builder.push(")");
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "< ",
        Comparison::LessOrEqual => "<= ",
        Comparison::Equal => "= ",
        Comparison::NotEqual => "<> ",
        Comparison::GreaterOrEqual => ">= ",
        Comparison::Greater => "> ",
    }
}

/// The least text that is greater than all that begin with `prefix`, byte by byte. Ids are ASCII.
fn after_prefix(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    if let Some(last) = text.pop() {
        text.push(char::from_u32(u32::from(last) + 1).unwrap_or(char::MAX));
    }
    text
}
