//! How the rows of all files of commands become one table and one type.

use bytes::Bytes;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;

use super::Body;
use crate::event::AggregateKind;
use crate::id::{StreamId, TenantId};
use crate::permission::Permission;
use crate::rejection::Rejection;
use crate::request::Format;
use crate::scope::Scope;

/// Who may send a command at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// All who hold the permission.
    Callers,
    /// Only parts of Steward; in no API.
    System,
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct CommandSpec {
    /// What it is about; also the name of the NATS service.
    pub noun: &'static str,
    /// What to do.
    pub verb: &'static str,
    /// Which aggregate decides it.
    pub aggregate: AggregateKind,
    /// Who may send it.
    pub audience: Audience,
    /// One line for `--help` and the docs.
    pub help: &'static str,
    /// The JSON schema of its body.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl CommandSpec {
    /// `noun:verb`.
    pub fn permission(&self) -> Permission {
        // The table's words are tokens; a test says so.
        #[allow(clippy::expect_used)]
        Permission::new(self.noun, self.verb).expect("the table holds tokens")
    }

    /// What the noun is called in paths: in the plural.
    pub fn collection(&self) -> String {
        collection(self.noun)
    }
}

/// What `noun` is called in paths: in the plural.
pub fn collection(noun: &str) -> String {
    let ends_in = |endings: &[&str]| endings.iter().any(|ending| noun.ends_with(ending));
    match noun.strip_suffix('y') {
        Some(stem) if !ends_in(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        _ if ends_in(&["s", "x", "z", "ch", "sh"]) => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

impl std::fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.noun, self.verb)
    }
}

/// The row of `noun.verb`, if there is one.
pub fn find(noun: &str, verb: &str) -> Option<&'static CommandSpec> {
    COMMANDS.iter().find(|spec| spec.noun == noun && spec.verb == verb)
}

/// The nouns, in the table's order, each once.
pub fn nouns() -> Vec<&'static str> {
    let mut nouns: Vec<&str> = Vec::new();
    for spec in COMMANDS {
        if !nouns.contains(&spec.noun) {
            nouns.push(spec.noun);
        }
    }
    nouns
}

/// The commands of one aggregate.
pub trait Commands: Clone + std::fmt::Debug + PartialEq + Send + Sync + Into<Command> + 'static {
    /// Which aggregate decides them.
    const KIND: AggregateKind;
    /// Their rows of the table.
    const SPECS: &'static [CommandSpec];

    /// The command of this aggregate that `command` is, if it is one.
    fn from_command(command: &Command) -> Option<&Self>;

    /// Reads the body of `noun.verb`; none if no row says that.
    fn read(noun: &str, verb: &str, format: Format, body: &[u8]) -> Option<Result<Self, Rejection>>;
}

/// The rows of one aggregate: from them its type of commands is made.
macro_rules! commands {
    ($commands:ident of $kind:ident { $($noun:literal $verb:literal => $body:ident, $audience:ident, $help:literal;)+ }) => {
        #[doc = concat!("Commands that the aggregate `", stringify!($kind), "` decides.")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum $commands {
            $(#[doc = $help] $body($body),)+
        }

        $(
            impl From<$body> for $commands {
                fn from(body: $body) -> Self {
                    Self::$body(body)
                }
            }

            impl From<$body> for $crate::command::Command {
                fn from(body: $body) -> Self {
                    $commands::$body(body).into()
                }
            }
        )+

        impl $crate::command::Commands for $commands {
            const KIND: $crate::event::AggregateKind = $crate::event::AggregateKind::$kind;
            const SPECS: &'static [$crate::command::CommandSpec] = &[
                $($crate::command::CommandSpec {
                    noun: $noun,
                    verb: $verb,
                    aggregate: $crate::event::AggregateKind::$kind,
                    audience: $crate::command::Audience::$audience,
                    help: $help,
                    schema: <$body as schemars::JsonSchema>::json_schema,
                },)+
            ];

            fn from_command(command: &$crate::command::Command) -> Option<&Self> {
                match command {
                    $crate::command::Command::$kind(command) => Some(command),
                    _ => None,
                }
            }

            fn read(
                noun: &str,
                verb: &str,
                format: $crate::request::Format,
                body: &[u8],
            ) -> Option<Result<Self, $crate::rejection::Rejection>> {
                let invalid = |reason: String| $crate::rejection::Rejection::invalid("body", reason);
                match (noun, verb) {
                    $(($noun, $verb) => Some(format.read_named::<$body>(body).map(Into::into).map_err(invalid)),)+
                    _ => None,
                }
            }
        }

        impl $commands {
            /// Its noun and verb.
            pub const fn name(&self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$body(_) => ($noun, $verb),)+
                }
            }

            pub(in crate::command) fn write(
                &self,
                format: $crate::request::Format,
            ) -> Result<Vec<u8>, $crate::BoxError> {
                match self {
                    $(Self::$body(body) => format.write(body),)+
                }
            }

            pub(in crate::command) fn body(&self) -> &dyn $crate::command::Body {
                match self {
                    $(Self::$body(body) => body,)+
                }
            }

            pub(in crate::command) fn body_mut(&mut self) -> &mut dyn $crate::command::Body {
                match self {
                    $(Self::$body(body) => body,)+
                }
            }
        }
    };
}

macro_rules! command_union {
    ($($(#[$doc:meta])+ $module:ident: $kind:ident, $events:ident $(, $commands:ident)?;)+) => {
        /// Any command.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Command {
            $($(#[doc = concat!("For `", stringify!($module), "`.")] $kind(super::$commands),)?)+
        }

        $($(
            impl From<super::$commands> for Command {
                fn from(command: super::$commands) -> Self {
                    Self::$kind(command)
                }
            }
        )?)+

        /// The rows of each aggregate.
        const PARTS: &[&[CommandSpec]] = &[$($(<super::$commands as Commands>::SPECS,)?)+];

        impl Command {
            /// Reads the body of `noun.verb`.
            ///
            /// # Errors
            /// [`Rejection::NotFound`] for an unknown command, [`Rejection::Invalid`] naming what is wrong in the body.
            pub fn read(noun: &str, verb: &str, format: Format, body: &[u8]) -> Result<Self, Rejection> {
                $($(if let Some(command) = <super::$commands as Commands>::read(noun, verb, format, body) {
                    return command.map(Into::into);
                })?)+
                Err(Rejection::not_found("command", &format!("{noun}.{verb}")))
            }

            /// Its noun and verb.
            pub const fn name(&self) -> (&'static str, &'static str) {
                match self {
                    $($(Self::$kind(command) => super::$commands::name(command),)?)+
                }
            }

            /// Its body, written.
            ///
            /// # Errors
            /// If it cannot be written; sealed content, for one, does not travel.
            pub fn write(&self, format: Format) -> Result<Bytes, crate::BoxError> {
                match self {
                    $($(Self::$kind(command) => super::$commands::write(command, format).map(Bytes::from),)?)+
                }
            }

            /// Which aggregate decides it.
            pub const fn aggregate(&self) -> AggregateKind {
                match self {
                    $($(Self::$kind(_) => <super::$commands as Commands>::KIND,)?)+
                }
            }

            /// What it says of itself.
            pub fn body(&self) -> &dyn Body {
                match self {
                    $($(Self::$kind(command) => super::$commands::body(command),)?)+
                }
            }

            /// The same, to be completed or sealed.
            pub fn body_mut(&mut self) -> &mut dyn Body {
                match self {
                    $($(Self::$kind(command) => super::$commands::body_mut(command),)?)+
                }
            }
        }
    };
}

crate::aggregates!(command_union);

/// The table.
pub const COMMANDS: &[CommandSpec] = &joined::<{ rows(PARTS) }>(PARTS);

const fn rows(parts: &[&[CommandSpec]]) -> usize {
    let (mut rows, mut part) = (0, 0);
    while part < parts.len() {
        rows += parts[part].len();
        part += 1;
    }
    rows
}

/// The rows of all parts, in order.
const fn joined<const ROWS: usize>(parts: &[&[CommandSpec]]) -> [CommandSpec; ROWS] {
    let mut all = [parts[0][0]; ROWS];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut row = 0;
        while row < parts[part].len() {
            all[at] = parts[part][row];
            (at, row) = (at + 1, row + 1);
        }
        part += 1;
    }
    all
}

impl Command {
    /// Which stream of its aggregate decides it.
    pub fn stream(&self) -> StreamId {
        self.body().stream()
    }

    /// Where the sender needs the permission.
    pub fn scope(&self, tenant: &TenantId) -> Scope {
        self.body().scope(tenant)
    }

    /// Its row in the table.
    pub fn spec(&self) -> &'static CommandSpec {
        let (noun, verb) = self.name();
        // Both are made from the same rows.
        #[allow(clippy::expect_used)]
        find(noun, verb).expect("every command has its row")
    }
}
