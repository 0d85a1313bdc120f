//! Names of things. Each is parsed once, at the edge, and is then a safe token of a bus subject; but models, which are
//! never part of one, have the names that their makers gave them, such as `gpt-4.1`.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids;

/// The longest id that is accepted, in bytes.
pub const ID_BYTES_MAX: usize = 80;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: use 1 to {ID_BYTES_MAX} of {allowed}, starting with a letter or digit")]
pub struct InvalidId {
    /// What was expected, e.g. `tenant`.
    pub kind: &'static str,
    /// Which characters it may hold, for people.
    pub allowed: &'static str,
    /// The first characters of what was given.
    pub text: String,
}

/// True if `text` may stand as one token of a subject and as one segment of a scope.
pub fn is_token(text: &str) -> bool {
    static TOKEN: Allowed = allowed(b"_-");
    is_name(text, &TOKEN)
}

/// Which bytes a name may hold: names are read by the million.
type Allowed = [bool; 256];

/// Lower-case letters and digits, and those of `marks`.
const fn allowed(marks: &[u8]) -> Allowed {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        allowed[byte as usize] = is_plain(byte);
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        allowed[marks[mark] as usize] = true;
        mark += 1;
    }
    allowed
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// What is allowed, and first a letter or digit.
fn is_name(text: &str, allowed: &Allowed) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|first| is_plain(*first))
        && bytes.len() <= ID_BYTES_MAX
        && bytes.iter().all(|byte| allowed[usize::from(*byte)])
}

macro_rules! ids {
    // The characters besides letters and digits, once for the rule, once for people and once for the schema.
    (of $marks:literal, $allowed:literal, $pattern:literal: $($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            #[doc = concat!("[`InvalidId`] unless the text is 1 to 80 of ", $allowed, ", beginning with a letter or digit.")]
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                static ALLOWED: Allowed = allowed($marks);
                let text = text.as_ref();
                if is_name(text, &ALLOWED) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidId { kind: $kind, allowed: $allowed, text: text.chars().take(40).collect() })
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ids::OfBits for $name {
            fn of_bits(bits: u128) -> Self {
                // The digits of base 32 are letters and digits of ASCII, so they are a name.
                #[allow(clippy::expect_used)]
                Self(Arc::from(std::str::from_utf8(&ids::digits(bits)).expect("digits are ASCII")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::read(deserializer)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    )*};
}

ids! {
    of b"_-", "a-z, 0-9, '_' and '-'", "^[a-z0-9][a-z0-9_-]{0,79}$":
    /// A company or team whose data, money and permissions are its own.
    TenantId = "tenant";
    /// Who acts: a person (`p_…`), a service account (`svc_…`), an operator (`op_…`) or a part of Steward (`sys_…`);
    /// and a group (`g_…`), which never acts itself. Opaque.
    PrincipalId = "principal";
    /// An API key's public id (`key_…`); the secret is never recorded.
    KeyId = "key";
    /// A role's name, unique in its tenant.
    RoleId = "role";
    /// The name of a rule of access: a denial, a separation of duties, a role that can be asked for.
    RuleId = "rule";
    /// One time that somebody asked for a role (`elv_…`).
    ElevationId = "elevation";
    /// One review of who holds what.
    ReviewId = "review";
    /// How much data is to be cared for, in the tenant's own words: `public`, `confidential`.
    DataClass = "data class";
    /// A configured upstream.
    ProviderId = "provider";
    /// A secret that a tenant keeps here, such as its key at a provider; a name, never the secret.
    SecretId = "secret";
    /// A project of a tenant: the segment below the tenant in its scope.
    ProjectId = "project";
    /// A feature flag's name, unique in its tenant.
    FlagId = "flag";
    /// A plan's name: what tenants on it get.
    PlanId = "plan";
    /// An agent definition's name, unique in its tenant.
    AgentId = "agent";
    /// One task.
    TaskId = "task";
    /// One file that is kept beside the log (`file-…`).
    FileId = "file";
    /// One batch of model calls (`batch_…`).
    BatchId = "batch";
    /// One command; the same id is decided once.
    CommandId = "command";
    /// One commit; made once and kept over retries.
    CommitId = "commit";
    /// One attempt to call a model.
    CallId = "call";
    /// One run of one gateway process: a new id at every start.
    HolderId = "holder";
    /// What a chain of commands and events belongs to, from the caller's request on.
    CorrelationId = "correlation";
    /// A channel by which somebody is told, unique in its tenant.
    ChannelId = "channel";
    /// One message through one channel (`msg_…`); the same at every attempt, so that who receives it twice can tell.
    MessageId = "message";
    /// One life of a budget: a budget removed and set again has another.
    BudgetId = "budget";
    /// The last token of a log subject: `main`, or the id of a task, agent, journal, placed tenant.
    StreamId = "stream";
}

ids! {
    of b"_-.", "a-z, 0-9, '_', '-' and '.'", "^[a-z0-9][a-z0-9_.-]{0,79}$":
    /// A model as callers name it: `gpt-4.1`. Never a token of a subject nor a segment of a scope, so it may hold dots.
    ModelId = "model";
}

impl TenantId {
    /// The reserved tenant that holds operators, the registry, default roles, models and prices.
    pub fn steward() -> Self {
        // Asked for several times a call.
        static STEWARD: LazyLock<TenantId> = LazyLock::new(|| TenantId(Arc::from("steward")));
        STEWARD.clone()
    }

    /// True for the reserved tenant.
    pub fn is_steward(&self) -> bool {
        &*self.0 == "steward"
    }
}

/// What a journal records of a call nobody commands: it goes by the call's own name.
impl From<&CallId> for CommandId {
    fn from(CallId(name): &CallId) -> Self {
        Self(Arc::clone(name))
    }
}

/// What the ids of batches begin with, and the ids of no tasks that are submitted.
const BATCH: &str = "batch_";

impl BatchId {
    /// A batch's id, made of something unique.
    ///
    /// # Errors
    /// [`InvalidId`] if `unique` is no token.
    pub fn of(unique: &str) -> Result<Self, InvalidId> {
        Self::new(format!("{BATCH}{unique}"))
    }

    /// As what the batch's calls are counted: their keys, budgets and records name it where a task's would name the task.
    pub fn as_task(&self) -> TaskId {
        TaskId(Arc::clone(&self.0))
    }
}

impl TaskId {
    /// The batch whose calls are counted under this name, if it is one.
    pub fn batch(&self) -> Option<BatchId> {
        self.0.starts_with(BATCH).then(|| BatchId(Arc::clone(&self.0)))
    }
}

impl SecretId {
    /// The key with which a gateway seals a tenant's contents beside the log.
    pub fn contents_key() -> Self {
        Self(Arc::from("sys_contents"))
    }

    /// True of secrets that Steward makes for itself: nobody else sets, removes or uses one.
    pub fn is_system(&self) -> bool {
        self.0.starts_with("sys_")
    }
}

impl MessageId {
    /// The message that begins with what was recorded at a place of the tenant's shard: the same for all who make it.
    pub fn of(tenant: &TenantId, channel: &ChannelId, position: u64, index: u32) -> Self {
        let hash = blake3::hash(format!("message\0{tenant}\0{channel}\0{position}\0{index}").as_bytes());
        let bits = u128::from_be_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 16]));
        Self(Arc::from(format!("msg_{}", ids::base32(bits))))
    }
}

impl DataClass {
    /// The class of what names none, where no scope has one.
    pub fn unclassified() -> &'static Self {
        static UNCLASSIFIED: LazyLock<DataClass> = LazyLock::new(|| DataClass(Arc::from("unclassified")));
        &UNCLASSIFIED
    }
}

impl StreamId {
    /// The id of streams of which a tenant has just one.
    pub fn main() -> Self {
        Self(Arc::from("main"))
    }
}

impl PrincipalId {
    /// The principal of the service account called `name` in `tenant`: opaque, and the same at every mention.
    pub fn service_account(tenant: &TenantId, name: &str) -> Self {
        let hash = blake3::hash(format!("service-account\0{tenant}\0{name}").as_bytes());
        Self(Arc::from(format!("svc_{}", &hash.to_hex()[..16])))
    }

    /// The group called `name` in `tenant`: opaque, and the same at every mention.
    pub fn group(tenant: &TenantId, name: &str) -> Self {
        let hash = blake3::hash(format!("group\0{tenant}\0{name}").as_bytes());
        Self(Arc::from(format!("g_{}", &hash.to_hex()[..16])))
    }

    /// True if it is a group: it holds grants for its members and never acts.
    pub fn is_group(&self) -> bool {
        self.0.starts_with("g_")
    }

    /// True if it is a service account.
    pub fn is_account(&self) -> bool {
        self.0.starts_with("svc_")
    }

    /// A part of Steward itself, e.g. `sys_worker`. Only processes with that role's bus credentials can speak as it.
    pub fn system(part: SystemPart) -> Self {
        Self(Arc::from(part.principal()))
    }

    /// A sender that is nobody: no principal and no key has this id, so it may nothing.
    pub(crate) fn nobody() -> Self {
        Self(Arc::from("nobody"))
    }

    /// True if this is a part of Steward rather than somebody's identity.
    pub fn is_system(&self) -> bool {
        self.0.starts_with("sys_")
    }
}

/// The parts of Steward that send commands of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemPart {
    /// The gateway: asks for leases.
    Gateway,
    /// Workers and process managers.
    Worker,
    /// The first start.
    Bootstrap,
}

impl SystemPart {
    /// The principal id, as text.
    pub const fn principal(self) -> &'static str {
        match self {
            Self::Gateway => "sys_gateway",
            Self::Worker => "sys_worker",
            Self::Bootstrap => "sys_bootstrap",
        }
    }
}

/// A lease: its holder and the holder's own count. Never opened twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseId {
    /// Who holds it.
    pub holder: HolderId,
    /// The holder's counter, from 1.
    pub number: u64,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.holder, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_wildcard_or_separator_is_no_id() {
        for text in ["", "*", ">", "a.b", "a b", "A", "-a", "é", &"a".repeat(ID_BYTES_MAX + 1)] {
            assert!(TenantId::new(text).is_err(), "{text:?}");
        }
        assert!(TenantId::new("a".repeat(ID_BYTES_MAX)).is_ok());
    }

    #[test]
    fn an_id_of_bits_is_that_of_their_text() {
        for bits in [0, 1, u128::MAX / 3, u128::MAX] {
            assert_eq!(<CallId as ids::OfBits>::of_bits(bits), CallId::new(ids::base32(bits)).unwrap());
        }
    }

    #[test]
    fn a_model_name_holds_no_subject_characters_but_dots() {
        for text in ["gpt-4.1", "claude-3.5-sonnet", "qwen2.5_coder", "o3"] {
            assert_eq!(serde_json::from_str::<ModelId>(&format!("{text:?}")).unwrap().as_str(), text);
        }
        let dots = ".".repeat(ID_BYTES_MAX);
        for text in ["", ".", ".5", "-1", "gpt 4", "gpt/4", "gpt:4", "gpt-*", ">", "GPT-4.1", &format!("a{dots}")] {
            assert!(ModelId::new(text).is_err(), "{text:?}");
        }
        let refused = ModelId::new("gpt:4").unwrap_err().to_string();
        assert!(refused.contains("'.'"), "{refused}");
        assert!(!TenantId::new("a:b").unwrap_err().to_string().contains("'.'"));
        let pattern = |schema: Schema| schema.get("pattern").and_then(|p| p.as_str()).map(str::to_owned).unwrap();
        assert!(pattern(ModelId::json_schema(&mut SchemaGenerator::default())).contains("_.-"));
        assert!(!pattern(TenantId::json_schema(&mut SchemaGenerator::default())).contains('.'));
    }
}
