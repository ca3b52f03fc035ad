use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Result, Tx, db::TxInner};
use crate::domain::{Package, PackageBranch, Signer};

/// The class of the PostgreSQL advisory locks under which a branch changes; the second number is a
/// hash of package and branch.
const BRANCH_LOCK_CLASS: i32 = 0x0a12_11f8;

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

#[derive(sqlx::FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    package: PackageRow,
    is_head: bool,
}

#[derive(sqlx::FromRow)]
struct BranchRow {
    branch: String,
    head: Option<String>,
    versions: i64,
    withdrawn: i64,
}

/// Which packages to list, newest upload first.
#[derive(Clone, Debug)]
pub struct PackageFilter {
    pub name: Option<String>,
    pub branch: Option<String>,
    /// Only those uploaded before this one.
    pub before: Uuid,
    pub limit: i64,
}

impl Tx {
    /// Until this transaction ends no other changes this branch of the package. Call it before any row
    /// is locked.
    pub async fn lock_branch(&mut self, name: &str, branch: &str) -> Result<()> {
        if let TxInner::Postgres(tx) = &mut self.inner {
            // There is no row to lock before the first version. Branches whose hashes are the same
            // wait for each other; nothing else comes of it.
            sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
                .bind(BRANCH_LOCK_CLASS)
                .bind(format!("{name} {branch}"))
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

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

    /// The highest version of a branch that is not withdrawn; of two of equal precedence the one that
    /// was uploaded last.
    pub async fn head_package(&mut self, name: &str, branch: &str) -> Result<Option<Package>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, PackageRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM packages WHERE name = $1 AND branch = $2 AND withdrawn_at IS NULL
             ORDER BY version_key DESC, package_id DESC LIMIT 1"
        ))
        .bind(name)
        .bind(branch)
        .fetch_optional(conn)
        .await)?
        .map(Package::from))
    }

    /// The versions of a branch that are not withdrawn, the head first.
    pub async fn package_versions(&mut self, name: &str, branch: &str) -> Result<Vec<String>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, String>(
            "SELECT version FROM packages
             WHERE name = $1 AND branch = $2 AND withdrawn_at IS NULL
             ORDER BY version_key DESC, package_id DESC",
        )
        .bind(name)
        .bind(branch)
        .fetch_all(conn)
        .await)?)
    }

    /// Each with whether it is its branch's head.
    pub async fn packages(&mut self, filter: &PackageFilter) -> Result<Vec<(Package, bool)>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, ListedRow>(concat!(
            "SELECT ",
            columns!(),
            ", (withdrawn_at IS NULL AND NOT EXISTS (
                   SELECT 1 FROM packages h
                   WHERE h.name = p.name AND h.branch = p.branch AND h.withdrawn_at IS NULL
                     AND (h.version_key, h.package_id) > (p.version_key, p.package_id))) AS is_head
             FROM packages p
             WHERE (CAST($1 AS TEXT) IS NULL OR name = $1)
               AND (CAST($2 AS TEXT) IS NULL OR branch = $2)
               AND package_id < $3
             ORDER BY package_id DESC LIMIT $4"
        ))
        .bind(&filter.name)
        .bind(&filter.branch)
        .bind(filter.before)
        .bind(filter.limit)
        .fetch_all(conn)
        .await)?
        .into_iter()
        .map(|row| (row.package.into(), row.is_head))
        .collect())
    }

    /// Every branch that has the package, in the order of their names.
    pub async fn package_branches(&mut self, name: &str) -> Result<Vec<PackageBranch>> {
        let rows = on!(self, |conn| sqlx::query_as::<_, BranchRow>(
            "SELECT branch, COUNT(*) AS versions, COUNT(withdrawn_at) AS withdrawn,
                    (SELECT h.version FROM packages h
                     WHERE h.name = $1 AND h.branch = p.branch AND h.withdrawn_at IS NULL
                     ORDER BY h.version_key DESC, h.package_id DESC LIMIT 1) AS head
             FROM packages p WHERE name = $1 GROUP BY branch ORDER BY branch",
        )
        .bind(name)
        .fetch_all(conn)
        .await)?;
        Ok(rows
            .into_iter()
            .map(|row| PackageBranch {
                branch: row.branch,
                head: row.head,
                versions: row.versions,
                withdrawn: row.withdrawn,
            })
            .collect())
    }

    /// Stores what a version is now: its content, its file, its signature, whether it is withdrawn.
    pub async fn update_package(&mut self, package: &Package) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE packages SET content = $2, file_size = $3, md5 = $4, sha256 = $5,
                 signature = $6, signed_by = $7, withdrawn_at = $8, updated_at = $9
             WHERE package_id = $1",
        )
        .bind(package.package_id)
        .bind(&package.content)
        .bind(package.file_size)
        .bind(&package.md5)
        .bind(&package.sha256)
        .bind(&package.signature)
        .bind(package.signed_by.as_ref().map(Json))
        .bind(package.withdrawn_at)
        .bind(package.updated_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn delete_package(&mut self, package_id: Uuid) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM packages WHERE package_id = $1"
        )
        .bind(package_id)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The size in bytes of a file that some package uses.
    pub async fn package_file_size(&mut self, sha256: &str) -> Result<Option<i64>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT file_size FROM packages WHERE sha256 = $1 LIMIT 1",
        )
        .bind(sha256)
        .fetch_optional(conn)
        .await)?)
    }

    /// The device type of a firmware that is this version of the package.
    pub async fn package_released_for(
        &mut self,
        name: &str,
        branch: &str,
        version: &str,
    ) -> Result<Option<String>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, String>(
            "SELECT device_type FROM firmwares
             WHERE version = $3 AND package ->> 'name' = $1 AND package ->> 'branch' = $2
             ORDER BY device_type LIMIT 1",
        )
        .bind(name)
        .bind(branch)
        .bind(version)
        .fetch_optional(conn)
        .await)?)
    }
}
