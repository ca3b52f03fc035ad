use airlift_package::{Requirement, Version, is_branch, is_package_name, is_sha256};
use serde_json::json;

use super::{Error, FileKind, Page, Result, Service, StoredFile, push_package::refuse_released};
use crate::{
    domain::{Caller, Event, Package, PackageBranch},
    store::PackageFilter,
};

/// A version of a package, and whether it is its branch's head.
#[derive(Clone, Debug)]
pub struct PackageView {
    pub package: Package,
    pub is_head: bool,
}

impl Service {
    /// Where a package's file can be downloaded.
    pub fn package_url(&self, package: &Package) -> String {
        format!("{}/otafiles/{}", self.settings.public_url, package.sha256)
    }

    /// The highest version of a branch that is not withdrawn, of those that `requirement` allows.
    pub async fn highest_package(
        &self,
        name: &str,
        branch: &str,
        requirement: Option<&str>,
    ) -> Result<Package> {
        check_name(name)?;
        check_branch(branch)?;
        let requirement = requirement.map(read_requirement).transpose()?;
        let mut tx = self.db.read().await?;
        let Some(requirement) = requirement else {
            let head = tx.head_package(name, branch).await?;
            return head.ok_or_else(|| no_package(name, branch));
        };
        let versions = tx.package_versions(name, branch).await?;
        let allowed = versions.iter().find(|version| {
            let version = version.parse::<Version>();
            version.is_ok_and(|version| requirement.allows(&version))
        });
        let highest = match allowed {
            Some(version) => tx.package(name, branch, version).await?,
            None => None,
        };
        highest.ok_or_else(|| match versions.first() {
            None => no_package(name, branch),
            Some(head) => Error::not_found(
                "package_not_found",
                format!(
                    "no version of {name} on branch {branch} is {requirement}; the highest is {head}"
                ),
            ),
        })
    }

    /// A version that devices may install: not one that is withdrawn.
    pub async fn installable_package(
        &self,
        name: &str,
        branch: &str,
        version: &str,
    ) -> Result<Package> {
        let package = self.package(name, branch, version).await?.package;
        match package.withdrawn_at {
            None => Ok(package),
            Some(_) => Err(Error::not_found(
                "package_not_found",
                format!(
                    "{name} {version} of branch {branch} is withdrawn: push it again to restore it"
                ),
            )),
        }
    }

    /// Its `content.json`'s signature.
    pub async fn package_signature(
        &self,
        name: &str,
        branch: &str,
        version: &str,
    ) -> Result<String> {
        let package = self.installable_package(name, branch, version).await?;
        package.signature.ok_or_else(|| {
            Error::not_found(
                "signature_not_found",
                format!("{name} {version} of branch {branch} was pushed without a signature"),
            )
        })
    }

    pub async fn packages(&self, mut filter: PackageFilter) -> Result<Page<PackageView>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        let packages = tx.packages(&filter).await?.into_iter();
        let views = packages.map(|(package, is_head)| PackageView { package, is_head });
        Ok(Page::cut(views.collect(), limit))
    }

    pub async fn package(&self, name: &str, branch: &str, version: &str) -> Result<PackageView> {
        check(name, branch, version)?;
        let mut tx = self.db.read().await?;
        let package = tx.package(name, branch, version).await?;
        let package = package.ok_or_else(|| no_version(name, branch, version))?;
        let head = tx.head_package(name, branch).await?;
        Ok(PackageView {
            is_head: head.is_some_and(|head| head.package_id == package.package_id),
            package,
        })
    }

    pub async fn package_branches(&self, name: &str) -> Result<Vec<PackageBranch>> {
        check_name(name)?;
        let mut tx = self.db.read().await?;
        let branches = tx.package_branches(name).await?;
        match branches.is_empty() {
            false => Ok(branches),
            true => Err(Error::not_found(
                "package_not_found",
                format!("there is no package {name}: push it with PUT /update"),
            )),
        }
    }

    /// Withdraws the head of a branch, or every version above `to`; the new head.
    pub async fn roll_back_package(
        &self,
        caller: &Caller,
        name: &str,
        branch: &str,
        to: Option<&str>,
    ) -> Result<PackageView> {
        check(name, branch, to.unwrap_or("0"))?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        tx.lock_branch(name, branch).await?;
        let versions = tx.package_versions(name, branch).await?;
        let place = match to {
            None => 1,
            Some(to) => match versions.iter().position(|version| version == to) {
                Some(place) => place,
                None => {
                    let withdrawn = tx.package(name, branch, to).await?;
                    return Err(match withdrawn {
                        None => no_version(name, branch, to),
                        Some(_) => no_earlier_version(format!(
                            "{name} {to} of branch {branch} is withdrawn itself: push it again to \
                             restore it"
                        )),
                    });
                }
            },
        };
        let Some(head) = versions.get(place) else {
            return Err(
                match tx
                    .package_branches(name)
                    .await?
                    .iter()
                    .any(|it| it.branch == branch)
                {
                    false => no_package(name, branch),
                    true => no_earlier_version(format!(
                        "branch {branch} of {name} has no earlier version to go back to: push one"
                    )),
                },
            );
        };
        let head = tx.package(name, branch, head).await?;
        let head = head.ok_or_else(|| no_package(name, branch))?;
        for version in &versions[..place] {
            let Some(mut package) = tx.package(name, branch, version).await? else {
                continue;
            };
            package.withdrawn_at = Some(now);
            package.updated_at = now;
            tx.update_package(&package).await?;
            tx.record(Event::package("withdrawn", &package, now));
        }
        let detail = json!({
            "branch": branch,
            "head": head.version,
            "withdrawn": &versions[..place],
        });
        if place > 0 {
            tx.audit(&caller.did("package.rollback", name, detail, now))
                .await?;
        }
        tx.commit().await?;
        tracing::info!(
            package = name,
            branch,
            head = head.version,
            withdrawn = versions[..place].join(", "),
            "package rolled back"
        );
        Ok(PackageView {
            package: head,
            is_head: true,
        })
    }

    /// Deletes a version, and its file unless another has the same bytes.
    pub async fn delete_package(
        &self,
        caller: &Caller,
        name: &str,
        branch: &str,
        version: &str,
    ) -> Result<PackageView> {
        check(name, branch, version)?;
        let mut tx = self.db.begin().await?;
        tx.lock_branch(name, branch).await?;
        let package = tx.package(name, branch, version).await?;
        let package = package.ok_or_else(|| no_version(name, branch, version))?;
        refuse_released(&mut tx, &package).await?;
        let head = tx.head_package(name, branch).await?;
        tx.delete_package(package.package_id).await?;
        let now = self.clock.now();
        tx.record(Event::package("deleted", &package, now));
        let detail = json!({ "branch": branch, "sha256": package.sha256 });
        tx.audit(&caller.did("package.delete", package.subject(), detail, now))
            .await?;
        tx.commit().await?;
        self.delete_blob_if_unused(&package.sha256).await?;
        tracing::info!(package = name, branch, version, "package deleted");
        Ok(PackageView {
            is_head: head.is_some_and(|head| head.package_id == package.package_id),
            package,
        })
    }

    /// The file of this SHA-256, of either case, if a package uses it.
    pub async fn package_file(&self, sha256: &str) -> Result<StoredFile> {
        let name = sha256.to_ascii_lowercase();
        let size = match is_sha256(&name) {
            true => self.db.read().await?.package_file_size(&name).await?,
            false => None,
        };
        let size = size.ok_or_else(|| {
            Error::not_found(
                "file_not_found",
                format!("no package has the file {sha256:?}; names are SHA-256, 64 hex digits"),
            )
        })?;
        Ok(StoredFile {
            kind: FileKind::Image,
            sha256: name.clone(),
            name,
            size: size.unsigned_abs(),
            // The name is what the bytes are.
            immutable: true,
        })
    }
}

fn check(name: &str, branch: &str, version: &str) -> Result<()> {
    check_name(name)?;
    check_branch(branch)?;
    match version.parse::<Version>() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::invalid("invalid_version", error.to_string())),
    }
}

fn check_name(name: &str) -> Result<()> {
    match is_package_name(name) {
        true => Ok(()),
        false => Err(Error::invalid(
            "invalid_package",
            format!(
                "{name:?} is not a package's name: use 1 to 64 of A-Z a-z 0-9 . _ + - and begin with \
                 a letter or digit"
            ),
        )),
    }
}

fn check_branch(branch: &str) -> Result<()> {
    match is_branch(branch) {
        true => Ok(()),
        false => Err(Error::invalid(
            "invalid_branch",
            format!(
                "{branch:?} is not a branch: use 1 to 64 of A-Z a-z 0-9 . _ + - and / between, and \
                 begin with a letter or digit"
            ),
        )),
    }
}

fn read_requirement(text: &str) -> Result<Requirement> {
    text.parse().map_err(|error| {
        Error::invalid(
            "invalid_requirement",
            format!(
                "requirement {text:?}: {error}; write it as in >=1.2, <2 or ^1.2 or ~1.2.3 or 1.2.*"
            ),
        )
    })
}

fn no_package(name: &str, branch: &str) -> Error {
    Error::not_found(
        "package_not_found",
        format!("there is no package {name} on branch {branch}: push it with PUT /update"),
    )
}

fn no_version(name: &str, branch: &str, version: &str) -> Error {
    Error::not_found(
        "package_not_found",
        format!(
            "there is no version {version} of {name} on branch {branch}: push it with PUT /update, or \
             name the right branch"
        ),
    )
}

fn no_earlier_version(message: String) -> Error {
    Error::conflict("no_earlier_version", message)
}
