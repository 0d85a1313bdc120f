//! Commands about files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::digest::BodyHash;
use crate::event::{FileName, FilePurpose};
use crate::id::{FileId, PrincipalId, TenantId};
use crate::scope::Scope;
use crate::sealed::{Content, KeyOwner, Sealable};
use crate::sender::KeyRef;
use crate::timestamp::Timestamp;

commands! {
    FileCommand of File {
        "file" "keep" => KeepFile, System, "Record that a file is kept";
        "file" "remove" => RemoveFile, Callers, "Remove a file and what it holds";
    }
}

/// Records a file whose bytes are kept beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepFile {
    /// Which.
    pub file: FileId,
    /// Where it belongs.
    pub scope: Scope,
    /// What it is for.
    pub purpose: FilePurpose,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Which bytes it holds: a digest that says nothing without the tenant's key.
    #[schemars(with = "Vec<u8>")]
    pub digest: BodyHash,
    /// What its owner calls it; sealed before it is recorded.
    pub name: Content<FileName>,
    /// When it ends.
    pub expires: Timestamp,
    /// Whose it is.
    pub kept_by: PrincipalId,
    /// The key that it came by.
    pub kept_with: KeyRef,
    /// The most bytes that the tenant's files may have, this one included.
    pub tenant_bytes_max: u64,
}

impl Body for KeepFile {
    fn scope(&self, _: &TenantId) -> Scope {
        self.scope.clone()
    }
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        vec![(&mut self.name, KeyOwner::Tenant(tenant.clone()))]
    }
    /// Nobody sees that two files of a tenant have one name.
    fn sealed_at(&self) -> String {
        format!("file/{}", self.file)
    }
}

/// Removes a file. What it holds is removed with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFile {
    /// Id of the file.
    pub file: FileId,
    /// Scope to which the file belongs, or one above it; the whole tenant if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

impl Body for RemoveFile {
    fn scope(&self, tenant: &TenantId) -> Scope {
        self.scope.clone().unwrap_or_else(|| Scope::tenant(tenant))
    }
}
