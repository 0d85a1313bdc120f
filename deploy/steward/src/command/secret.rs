//! The value of `steward secret set`: from a file or from standard input, never from the command line, where other users of
//! the machine and the shell's history would see it.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::path::PathBuf;

use clap::{Arg, ArgMatches};
use serde_json::Value;
use steward_events::BoxError;
use steward_events::provider_key::{SECRET_BYTES_MAX, SecretValue};

/// Typed so.
pub(crate) const EXAMPLES: &str = "The secret is read from standard input if no file is given.\n\nExamples:\n  \
    steward secret set openai --value-file openai.key --tenant acme\n  \
    pass show openai | steward secret set openai --tenant acme\n  \
    steward provider set openai https://api.openai.com/v1 --kind openai --secret secret:openai --tenant acme";

/// What the option means.
const HELP: &str = "File that holds the secret; standard input if not given";

/// The option in the reference of commands.
pub(crate) fn documented() -> String {
    format!("- `--value-file`: {HELP}.\n")
}

/// The option that names the file.
pub(crate) fn value_file() -> Arg {
    Arg::new("value-file").long("value-file").value_name("FILE").value_parser(clap::value_parser!(PathBuf)).help(HELP)
}

/// The secret that was given, without the line break at its end.
pub(super) fn read(matches: &ArgMatches) -> Result<Value, BoxError> {
    let value = match matches.get_one::<PathBuf>("value-file") {
        Some(path) => {
            let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            value(file)?
        }
        None if stdin().is_terminal() => {
            return Err(
                "the secret is read from --value-file FILE or from a pipe, not from the terminal, which would show it"
                    .into(),
            );
        }
        None => value(stdin().lock())?,
    };
    Ok(serde_json::to_value(value)?)
}

fn value(from: impl Read) -> Result<SecretValue, BoxError> {
    let mut text = String::new();
    let read_max = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(3);
    from.take(read_max).read_to_string(&mut text).map_err(|error| format!("the secret cannot be read: {error}"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_line_break() {
        for text in ["sk-1", "sk-1\n", "sk-1\r\n"] {
            assert_eq!(value(text.as_bytes()).unwrap().expose(), "sk-1");
        }
        let longest = "a".repeat(SECRET_BYTES_MAX);
        assert_eq!(value(format!("{longest}\n").as_bytes()).unwrap().expose(), longest);
        for text in ["", "\n", "sk-1\n\n", "two words", &format!("{longest}a")] {
            let refused = value(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with("a secret is 1 to 4096"), "{refused}");
        }
    }
}
