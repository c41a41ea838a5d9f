//! A password in a file, as orchestrators hand secrets over.

use crate::redis::settings::InvalidRedisConfig;
use fanwire_tls::secret_file;
use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// The longest password, in bytes.
const MAX_LENGTH: usize = 4096;

/// A file that holds a password and perhaps a line break behind it. It is read anew for each login, so that it can be
/// renewed while a node runs. Clones know of each other what they read.
#[derive(Clone)]
pub(super) struct Secret {
    path: Arc<Path>,
    /// What was read last, lest it be shown.
    last: Arc<Mutex<Zeroizing<String>>>,
}

impl Secret {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), last: Arc::default() }
    }

    /// The password as it is now.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, InvalidRedisConfig> {
        let password = self
            .parse()
            .map_err(|reason| InvalidRedisConfig::PasswordFile { path: self.path.display().to_string(), reason })?;
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&password);
        Ok(password)
    }

    fn parse(&self) -> Result<Zeroizing<String>, String> {
        let bytes = secret_file::read(&self.path, MAX_LENGTH).map_err(|error| match error.kind() {
            io::ErrorKind::Other => format!("is longer than {MAX_LENGTH} bytes; expected a password and nothing else"),
            _ => format!("can't be read: {error}"),
        })?;
        let text = str::from_utf8(&bytes).map_err(|_| "is not UTF-8; expected a password".to_owned())?;
        let password = text.strip_suffix('\n').unwrap_or(text);
        match password.strip_suffix('\r').unwrap_or(password) {
            "" => Err("is empty; expected a password".to_owned()),
            lines if lines.contains('\n') => Err("has several lines; expected a password and nothing else".to_owned()),
            password => Ok(Zeroizing::new(password.to_owned())),
        }
    }

    /// `text` without the password.
    pub(super) fn scrub(&self, text: String) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_empty() { text } else { text.replace(last.as_str(), "***") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.path.display())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    /// What is read of a file that holds `bytes`.
    fn read(bytes: &[u8]) -> Result<Zeroizing<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Secret::new(file.path()).read().map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_break_at_the_end_is_none_of_the_password() {
        for bytes in ["hunter2", "hunter2\n", "hunter2\r\n"] {
            assert_eq!(*read(bytes.as_bytes()).unwrap(), "hunter2");
        }
        assert_eq!(*read(" a b ".as_bytes()).unwrap(), " a b ");
    }

    #[test]
    fn what_is_no_password_is_named_with_its_file() {
        for (bytes, expected) in [
            (&b""[..], ": is empty"),
            (b"\n", ": is empty"),
            (b"user\nhunter2\n", ": has several lines"),
            (b"hunter2\xff", ": is not UTF-8"),
            (&[b'x'; 5000], ": is longer than 4096 bytes"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
        let error = Secret::new(Path::new("/nowhere/password")).read().unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/password: can't be read: "), "{error}");
    }

    #[test]
    fn it_is_read_anew_and_shown_nowhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secret = Secret::new(file.path());
        for password in ["hunter2", "hunter3"] {
            fs::write(file.path(), password).unwrap();
            assert_eq!(*secret.clone().read().unwrap(), password);
            assert_eq!(secret.scrub(format!("args: '{password}'")), "args: '***'");
        }
        assert!(!format!("{secret:?}").contains("hunter"));
    }
}
