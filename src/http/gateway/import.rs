use std::{collections::BTreeMap, io::Cursor, sync::Arc};

use axum::extract::State;
use bytes::Bytes;
use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord, Trim};
use serde::Serialize;
use utoipa::ToSchema;

use super::{EXPORT_COLUMNS, ID_COLUMN, TAG_COLUMN_PREFIX, TYPE_COLUMN};
use crate::{
    domain::{Caller, TAGS_MAX, check_tag_key},
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::CsvBody,
    },
    service::{self, EditedGateways, GatewayChanges, GatewayLine, Service},
};

/// A cell that removes the tag.
const REMOVED: &str = "-";
/// Bytes that the reader takes at a time. Lines are read again in the order of their ids, so what
/// it has taken is often thrown away.
const READ_AHEAD_BYTES: usize = 1 << 10;

/// What came of a list of gateways.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportedGateways {
    /// Lines, each of another gateway.
    pub gateways: u64,
    /// Of these, never heard of before.
    pub registered: u64,
    /// Of these, otherwise than before; those registered just now are not counted.
    pub changed: u64,
}

/// Tag many gateways
///
/// CSV with a line of names: `gatewayId`, then the keys of tags; a column `deviceType` sets the
/// device type. An empty cell leaves the tag as it is, `-` removes it. Gateways never heard of are
/// registered. All or nothing.
#[utoipa::path(
    post,
    path = "/api/ota/gateways/tags",
    tag = "gateway",
    request_body(content = String, content_type = "text/csv", example = "gatewayId,site,old\nHQ2026TEST001,lab,-\n"),
    responses(
        (status = 200, description = "All lines were taken", body = Envelope<ImportedGateways>),
        (status = 400, description = "None was taken; the message names the line", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not CSV", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn import(
    State(service): State<Arc<Service>>,
    caller: Caller,
    CsvBody(body): CsvBody,
) -> Result<Envelope<ImportedGateways>, ApiError> {
    let lines = tokio::task::spawn_blocking(|| List::read(body))
        .await
        .map_err(|error| ApiError::internal(&error))??;
    let EditedGateways {
        gateways,
        registered,
        changed,
    } = service.edit_gateways(&caller, lines).await?;
    Ok(Envelope::of(ImportedGateways {
        gateways,
        registered,
        changed,
    }))
}

/// What a column is.
#[derive(Clone, Debug, PartialEq)]
enum Column {
    DeviceType,
    Tag(String),
    /// Of an export, but nothing that people say.
    PassedOver,
}

/// A checked list; gives its lines in the order of their ids, each read once more from the text,
/// so that a long list does not stand in memory twice.
struct List {
    reader: Reader<Cursor<Bytes>>,
    columns: Vec<Column>,
    /// By id: where its line begins.
    places: std::collections::btree_map::IntoIter<String, Position>,
    record: StringRecord,
}

impl List {
    fn read(text: Bytes) -> Result<List, ApiError> {
        let mut reader = ReaderBuilder::new()
            .trim(Trim::All)
            .buffer_capacity(READ_AHEAD_BYTES)
            .from_reader(Cursor::new(text.clone()));
        let header = reader.headers().map_err(unreadable)?;
        let columns = columns(header)?;
        let mut places: BTreeMap<String, Position> = BTreeMap::new();
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(unreadable)? {
            let place = record.position().cloned().unwrap_or_else(Position::new);
            let place = behind_empty_lines(&text, place);
            let line = line(&columns, &record, place.line());
            line.check()?;
            if let Some(before) = places.insert(line.gateway_id, place.clone()) {
                return Err(invalid(
                    place.line(),
                    format!(
                        "{} stands in line {} already: leave one of them",
                        &record[0],
                        before.line()
                    ),
                ));
            }
        }
        Ok(List {
            reader,
            columns,
            places: places.into_iter(),
            record,
        })
    }
}

impl Iterator for List {
    type Item = service::Result<GatewayLine>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, place) = self.places.next()?;
        let number = place.line();
        let read = self
            .reader
            .seek(place)
            .and_then(|()| self.reader.read_record(&mut self.record));
        Some(match read {
            Ok(_) => Ok(line(&self.columns, &self.record, number)),
            Err(error) => Err(service::Error::invalid("invalid_csv", error.to_string())),
        })
    }
}

/// The reader counts empty lines to the record behind them.
fn behind_empty_lines(text: &[u8], mut place: Position) -> Position {
    let from = usize::try_from(place.byte()).unwrap_or(usize::MAX);
    let rest = text.get(from..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    for byte in empty {
        place.set_byte(place.byte() + 1);
        place.set_line(place.line() + u64::from(*byte == b'\n'));
    }
    place
}

fn columns(header: &StringRecord) -> Result<Vec<Column>, ApiError> {
    let mut names = header.iter();
    if names.next() != Some(ID_COLUMN) {
        return Err(invalid(
            1,
            format!(
                "the first column must be {ID_COLUMN}: begin with a line of names that are parted \
                 by commas, as in {ID_COLUMN},site,rack"
            ),
        ));
    }
    let mut columns = Vec::new();
    for name in names {
        let column = match name.strip_prefix(TAG_COLUMN_PREFIX) {
            Some(key) => Column::Tag(key.to_owned()),
            None if name == TYPE_COLUMN => Column::DeviceType,
            None if EXPORT_COLUMNS.contains(&name) => Column::PassedOver,
            None => Column::Tag(name.to_owned()),
        };
        if let Column::Tag(key) = &column {
            check_tag_key(key).map_err(|why| invalid(1, why))?;
        }
        if column != Column::PassedOver && columns.contains(&column) {
            return Err(invalid(1, format!("the column {name:?} is there twice")));
        }
        columns.push(column);
    }
    let tags = |column: &&Column| matches!(column, Column::Tag(_));
    if columns.iter().filter(tags).count() > TAGS_MAX {
        return Err(invalid(
            1,
            format!("there are more than {TAGS_MAX} tags: send several lists"),
        ));
    }
    Ok(columns)
}

fn line(columns: &[Column], record: &StringRecord, line: u64) -> GatewayLine {
    let mut cells = record.iter();
    let gateway_id = cells.next().unwrap_or_default().to_owned();
    let mut changes = GatewayChanges::default();
    for (column, cell) in columns.iter().zip(cells) {
        if cell.is_empty() {
            continue;
        }
        match column {
            Column::DeviceType => changes.device_type = Some(cell.to_owned()),
            Column::Tag(key) => {
                let value = (cell != REMOVED).then(|| cell.to_owned());
                changes.tags.insert(key.clone(), value);
            }
            Column::PassedOver => {}
        }
    }
    GatewayLine {
        line,
        gateway_id,
        changes,
    }
}

fn invalid(line: u64, why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request("invalid_csv", format!("line {line}: {why}"))
}

fn unreadable(error: csv::Error) -> ApiError {
    let line = error.position().map_or(1, Position::line);
    match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => invalid(
            line,
            format!("it has {len} cells, the line of names has {expected_len}"),
        ),
        ErrorKind::Utf8 { .. } => invalid(line, "it is not UTF-8"),
        _ => invalid(line, error),
    }
}
