//! Secret files of an installation: made once, readable by their owner only.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use steward_events::BoxError;
use steward_events::sealed::DataKey;
use steward_tlog::SigningKey;

/// 160 random bits as text.
pub fn random_secret() -> Result<String, BoxError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(steward_events::secret::letters(&bytes))
}

/// What is in `path`, made by `make` if there is no such file. True if it was made now.
pub fn read_or_make(path: &Path, make: impl FnOnce() -> Result<String, BoxError>) -> Result<(String, bool), BoxError> {
    if let Some(text) = read_secret(path)? {
        return Ok((text, false));
    }
    let text = make()?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| format!("cannot make {}: {error}", parent.display()))?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match opened {
        Ok(mut file) => {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            Ok((text, true))
        }
        // Another process was quicker: its secret is the one.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Ok((read_secret(path)?.ok_or_else(|| format!("{} vanished", path.display()))?, false))
        }
        Err(error) => Err(format!("cannot write {}: {error}", path.display()).into()),
    }
}

/// What is in `path`, if it is there. Refuses a file that others may read.
pub fn read_secret(path: &Path) -> Result<Option<String>, BoxError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{} may be read by others (mode {mode:o}): run chmod 600 on it", path.display()).into());
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Some(text.trim().to_owned()))
}

/// The master key in `path`, made if there is none. True if it was made now.
pub fn master_key(path: &Path) -> Result<(DataKey, bool), BoxError> {
    let (bytes, made) = key_bytes(path)?;
    Ok((DataKey::from_bytes(bytes), made))
}

/// The key in `path` that signs checkpoints, made if there is none. Losing it costs no data: what it has signed stays
/// signed. But histories go on under another key, which everybody who verifies has to be told.
pub fn transparency_key(path: &Path) -> Result<SigningKey, BoxError> {
    Ok(SigningKey::from_bytes(&key_bytes(path)?.0))
}

/// The 32 secret bytes in `path`, as hex; drawn if there is no such file, and then true.
fn key_bytes(path: &Path) -> Result<([u8; 32], bool), BoxError> {
    let (text, made) = read_or_make(path, || {
        Ok(steward_events::digest::CommitHash::from_bytes(*DataKey::random()?.as_bytes()).to_string())
    })?;
    let bytes = (text.len() == 64).then(|| {
        (0..64)
            .step_by(2)
            .map(|at| text.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .collect::<Option<Vec<u8>>>()
    });
    let bytes: [u8; 32] = bytes
        .flatten()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("{} does not hold 64 hex digits: restore it from your backup", path.display()))?;
    Ok((bytes, made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_must_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/operator.key");
        let (first, made) = read_or_make(&path, random_secret).unwrap();
        assert!(made);
        assert_eq!(read_or_make(&path, random_secret).unwrap(), (first, false));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_secret(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_damaged_master_key_is_no_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let (key, made) = master_key(&path).unwrap();
        assert!(made);
        assert_eq!(master_key(&path).unwrap().0.as_bytes(), key.as_bytes());
        std::fs::write(&path, "short").unwrap();
        assert!(master_key(&path).is_err());
    }
}
