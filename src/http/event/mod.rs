//! `/api/ota/events`

pub mod stream;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::EventKind;

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventKind)]
pub enum EventKindDto {
    Task,
    TaskProgress,
    Rollout,
    Gateway,
    Firmware,
    Package,
}

impl From<EventKind> for EventKindDto {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Task => EventKindDto::Task,
            EventKind::TaskProgress => EventKindDto::TaskProgress,
            EventKind::Rollout => EventKindDto::Rollout,
            EventKind::Gateway => EventKindDto::Gateway,
            EventKind::Firmware => EventKindDto::Firmware,
            EventKind::Package => EventKindDto::Package,
        }
    }
}

impl From<EventKindDto> for EventKind {
    fn from(kind: EventKindDto) -> Self {
        match kind {
            EventKindDto::Task => EventKind::Task,
            EventKindDto::TaskProgress => EventKind::TaskProgress,
            EventKindDto::Rollout => EventKind::Rollout,
            EventKindDto::Gateway => EventKind::Gateway,
            EventKindDto::Firmware => EventKind::Firmware,
            EventKindDto::Package => EventKind::Package,
        }
    }
}
