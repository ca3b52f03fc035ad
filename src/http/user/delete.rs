use std::sync::Arc;

use axum::extract::State;

use super::{ChangedUser, user_id};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
        token::warning,
    },
    service::{Service, UserRef},
};

/// Delete a user
///
/// The user's sessions end by it; the audit log keeps the name.
#[utoipa::path(
    delete,
    path = "/api/ota/users/{userId}",
    tag = "access",
    params(("userId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "Who was deleted", body = Envelope<ChangedUser>),
        (status = 400, description = "Not a user id", body = ErrorEnvelope),
        (status = 404, description = "No such user", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn delete(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<ChangedUser>, ApiError> {
    let user = UserRef::Id(user_id(&id)?);
    let deleted = service.delete_user(&caller, user).await?;
    Ok(Envelope::of(ChangedUser {
        user: deleted.now.into(),
        warning: warning(deleted.admin_left),
    }))
}
