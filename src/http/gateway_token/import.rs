use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, header::CACHE_CONTROL},
    response::Response,
};
use bytes::Bytes;
use csv::{Position, ReaderBuilder, StringRecord, Trim};

use super::TOKEN_COLUMNS;
use crate::{
    domain::Caller,
    http::{csv_answer, envelope::ErrorEnvelope, error::ApiError, extract::CsvBody},
    service::{GatewayIdLine, Service},
};

/// What the first column may be called.
const ID_COLUMNS: [&str; 2] = ["gatewayId", "gateway_id"];

/// Make tokens for many gateways
///
/// CSV with a line of names, whose first is `gatewayId`; further columns are passed over. The answer
/// is CSV, `gateway_id,token`, by id; tokens are shown in it alone. All or nothing: a gateway that
/// has a token already is refused with its line. Gateways need not be known.
#[utoipa::path(
    post,
    path = "/api/ota/gateways/tokens",
    tag = "gateway",
    request_body(content = String, content_type = "text/csv", example = "gatewayId\nHQ2026TEST001\n"),
    responses(
        (status = 200, description = "The tokens", body = String, content_type = "text/csv"),
        (status = 400, description = "None was made; the message names the line", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not CSV", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn import(
    State(service): State<Arc<Service>>,
    caller: Caller,
    CsvBody(body): CsvBody,
) -> Result<Response, ApiError> {
    let lines = tokio::task::spawn_blocking(|| lines(body))
        .await
        .map_err(|error| ApiError::internal(&error))??;
    let made = service.add_gateway_tokens(&caller, lines).await?;
    let mut text = csv_answer::header(&TOKEN_COLUMNS)?;
    for (gateway_id, secret) in &made {
        // Neither has a character that CSV quotes.
        text.extend(format!("{gateway_id},{}\r\n", secret.reveal()).bytes());
    }
    let mut answer = csv_answer::answer("gateway-tokens", text.into())?;
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn lines(text: Bytes) -> Result<Vec<GatewayIdLine>, ApiError> {
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .from_reader(text.as_ref());
    let header = reader.headers().map_err(unreadable)?;
    if !header.get(0).is_some_and(|name| ID_COLUMNS.contains(&name)) {
        return Err(invalid(
            1,
            "the first column must be gatewayId: begin with a line of names",
        ));
    }
    let mut lines = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(unreadable)? {
        // The reader counts empty lines to the record behind them; here it stands behind the record.
        let line = reader.position().line() - u64::from(text_ended_line(&reader, &text));
        lines.push(GatewayIdLine {
            line,
            gateway_id: record.get(0).unwrap_or_default().to_owned(),
        });
    }
    Ok(lines)
}

/// Whether the reader has read the end of the line that it read last.
fn text_ended_line(reader: &csv::Reader<&[u8]>, text: &[u8]) -> bool {
    let read = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
    read > 0 && text.get(read - 1) == Some(&b'\n')
}

fn invalid(line: u64, why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request("invalid_csv", format!("line {line}: {why}"))
}

fn unreadable(error: csv::Error) -> ApiError {
    let line = error.position().map_or(1, Position::line);
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => invalid(line, "it is not UTF-8"),
        _ => invalid(line, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_in_the_line_where_it_stands() {
        for text in [
            "gatewayId,site\nG1,a\n\n\nG2\n",
            "gateway_id\r\nG1\r\n\r\n\r\n G2",
        ] {
            let lines = lines(Bytes::from_static(text.as_bytes())).unwrap();
            let lines: Vec<_> = lines
                .iter()
                .map(|it| (it.line, it.gateway_id.as_str()))
                .collect();
            assert_eq!(lines, [(2, "G1"), (5, "G2")], "{text:?}");
        }
        for text in ["", "G1\nG2\n", "site,gatewayId\n"] {
            let refused = lines(Bytes::from_static(text.as_bytes())).unwrap_err();
            assert!(refused.message.starts_with("line 1: the first"), "{text:?}");
        }
    }
}
