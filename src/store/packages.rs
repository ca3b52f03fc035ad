use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Result, Tx};
use crate::domain::{Package, Signer};

macro_rules! columns {
    () => {
        "package_id, name, branch, version, content, file_size, md5, sha256, signature, \
         signed_by, withdrawn_at, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct PackageRow {
    package_id: Uuid,
    name: String,
    branch: String,
    version: String,
    content: String,
    file_size: i64,
    md5: String,
    sha256: String,
    signature: Option<String>,
    signed_by: Option<Json<Signer>>,
    withdrawn_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<PackageRow> for Package {
    fn from(row: PackageRow) -> Package {
        Package {
            package_id: row.package_id,
            name: row.name,
            branch: row.branch,
            version: row.version,
            content: row.content,
            file_size: row.file_size,
            md5: row.md5,
            sha256: row.sha256,
            signature: row.signature,
            signed_by: row.signed_by.map(|signer| signer.0),
            withdrawn_at: row.withdrawn_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Tx {
    /// [`super::Error::Duplicate`] if the branch has this version already.
    pub async fn insert_package(&mut self, package: &Package, version_key: &str) -> Result<()> {
        on!(self, |conn| sqlx::query(concat!(
            "INSERT INTO packages (",
            columns!(),
            ", version_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
        ))
        .bind(package.package_id)
        .bind(&package.name)
        .bind(&package.branch)
        .bind(&package.version)
        .bind(&package.content)
        .bind(package.file_size)
        .bind(&package.md5)
        .bind(&package.sha256)
        .bind(&package.signature)
        .bind(package.signed_by.as_ref().map(Json))
        .bind(package.withdrawn_at)
        .bind(package.created_at)
        .bind(package.updated_at)
        .bind(version_key)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// That version, withdrawn or not.
    pub async fn package(
        &mut self,
        name: &str,
        branch: &str,
        version: &str,
    ) -> Result<Option<Package>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, PackageRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM packages WHERE name = $1 AND branch = $2 AND version = $3"
        ))
        .bind(name)
        .bind(branch)
        .bind(version)
        .fetch_optional(conn)
        .await)?
        .map(Package::from))
    }
}
