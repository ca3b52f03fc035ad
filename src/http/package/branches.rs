use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::PackageBranch,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// A package's branches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PackageBranches)]
pub struct BranchesDto {
    #[schema(examples("app"))]
    pub name: String,
    pub branches: Vec<BranchDto>,
}

/// A branch of a package.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PackageBranch)]
pub struct BranchDto {
    #[schema(examples("main"))]
    pub branch: String,
    /// The highest version that is not withdrawn; null if all are.
    #[schema(examples("1.10"))]
    pub head: Option<String>,
    /// How many there are, with those that are withdrawn.
    pub versions: i64,
    pub withdrawn: i64,
}

impl From<PackageBranch> for BranchDto {
    fn from(branch: PackageBranch) -> Self {
        BranchDto {
            branch: branch.branch,
            head: branch.head,
            versions: branch.versions,
            withdrawn: branch.withdrawn,
        }
    }
}

/// A package's branches
#[utoipa::path(
    get,
    path = "/api/ota/packages/{name}",
    tag = "package",
    params(("name" = String, Path, example = "app")),
    responses(
        (status = 200, description = "In the order of their names", body = Envelope<BranchesDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such package", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn branches(
    State(service): State<Arc<Service>>,
    ApiPath(name): ApiPath<String>,
) -> Result<Envelope<BranchesDto>, ApiError> {
    let branches = service.package_branches(&name).await?;
    Ok(Envelope::of(BranchesDto {
        name,
        branches: branches.into_iter().map(BranchDto::from).collect(),
    }))
}
