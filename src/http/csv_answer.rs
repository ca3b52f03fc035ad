//! Answers as CSV (RFC 4180): a header row of the JSON field names, and a row per thing.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::error::ApiError;

/// What an answer that is a table can be had as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Format)]
pub enum FormatDto {
    Json,
    Csv,
}

/// Whether the client wants CSV: `format` says so, else `Accept` names `text/csv` and nothing that
/// it likes better.
pub fn wants_csv(format: Option<FormatDto>, headers: &HeaderMap) -> bool {
    if let Some(format) = format {
        return format == FormatDto::Csv;
    }
    let accept = headers.get_all(ACCEPT).iter();
    let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    prefers_csv(&accept.join(","))
}

/// RFC 9110, 12.5.1.
fn prefers_csv(accept: &str) -> bool {
    let weight = |wanted: &str| {
        accept.split(',').find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next()?.eq_ignore_ascii_case(wanted);
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            named.then(|| weight.and_then(|q| q.parse().ok()).unwrap_or(1.0))
        })
    };
    let csv: f32 = weight("text/csv").unwrap_or(0.0);
    let json = weight("application/json");
    let others = weight("application/*").or(weight("*/*")).unwrap_or(0.0);
    // Named as it is, it comes before what is only included.
    csv > 0.0 && json.map_or(csv >= others, |json| csv > json)
}

/// A whole table.
pub fn table<T: Serialize>(
    file_name: &str,
    columns: &[&str],
    rows: impl IntoIterator<Item = T>,
) -> Result<Response, ApiError> {
    let mut text = header(columns)?;
    text.extend(lines(columns, rows)?);
    answer(file_name, text.into())
}

/// What `body` sends, as a CSV file.
pub fn answer(file_name: &str, body: Body) -> Result<Response, ApiError> {
    let disposition = format!("attachment; filename=\"{file_name}.csv\"");
    let disposition =
        HeaderValue::try_from(disposition).map_err(|error| ApiError::internal(&error))?;
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
    );
    headers.insert(CONTENT_DISPOSITION, disposition);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// The header row.
pub fn header(columns: &[&str]) -> Result<Vec<u8>, ApiError> {
    written(|writer| writer.write_record(columns))
}

/// A line for each row, which must be an object; a field that it lacks is an empty cell.
pub fn lines<T: Serialize>(
    columns: &[&str],
    rows: impl IntoIterator<Item = T>,
) -> Result<Vec<u8>, ApiError> {
    let mut values = Vec::new();
    for row in rows {
        values.push(serde_json::to_value(row).map_err(|error| ApiError::internal(&error))?);
    }
    written(|writer| {
        for row in &values {
            writer.write_record(columns.iter().map(|column| cell(&row[*column])))?;
        }
        Ok(())
    })
}

fn written(
    write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>,
) -> Result<Vec<u8>, ApiError> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    write(&mut writer).map_err(|error| ApiError::internal(&error))?;
    writer
        .into_inner()
        .map_err(|error| ApiError::internal(&error))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(cell).collect();
            items.join(" ")
        }
        value => value.to_string(),
    }
}

/// Spreadsheets take a cell that begins like this for a formula, and gateways may send any text.
fn harmless(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_is_sent_to_those_who_prefer_it() {
        for (accept, csv) in [
            ("", false),
            ("*/*", false),
            ("text/html, */*;q=0.8", false),
            ("text/csv", true),
            ("Text/CSV; header=present; q=0.5", true),
            ("text/csv;q=0", false),
            ("text/csv, */*", true),
            ("text/csv;q=0.1, */*", false),
            ("text/csv, application/json", false),
            ("text/csv, application/json;q=0.9", true),
            ("application/json, text/csv;q=0.9", false),
        ] {
            assert_eq!(prefers_csv(accept), csv, "{accept}");
        }
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("text/plain"));
        headers.append(ACCEPT, HeaderValue::from_static("text/csv"));
        assert!(wants_csv(None, &headers));
        assert!(!wants_csv(Some(FormatDto::Json), &headers));
        assert!(wants_csv(Some(FormatDto::Csv), &HeaderMap::new()));
    }

    #[test]
    fn cells_are_quoted_where_needed_and_never_formulas() {
        let rows = [
            json!({ "a": "=1+1", "b": 1.5, "c": null, "d": ["1.0.0", "-2"] }),
            json!({ "a": "x,\"y\"\r\nz", "b": true, "c": "@x", "e": "not a column" }),
        ];
        let columns = ["a", "b", "c", "d"];
        let text = String::from_utf8(lines(&columns, rows).unwrap()).unwrap();
        assert_eq!(
            text,
            "'=1+1,1.5,,1.0.0 '-2\r\n\"x,\"\"y\"\"\r\nz\",true,'@x,\r\n"
        );
        assert_eq!(header(&columns).unwrap(), b"a,b,c,d\r\n");
    }
}
