//! Running the command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A working directory of its own, removed at the end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("config")).unwrap();
        Self(path)
    }

    pub(crate) fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).unwrap();
        self
    }

    /// `fanwire` in this directory, with nothing in its environment.
    pub(crate) fn fanwire(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
        command.args(arguments).current_dir(&self.0).env_clear().stdin(Stdio::null());
        command
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the command has to do: exit with `code`, and say these things on standard output and error.
pub(crate) struct Expected<'a> {
    pub(crate) code: i32,
    pub(crate) out: &'a [&'a str],
    pub(crate) err: &'a [&'a str],
}

#[track_caller]
pub(crate) fn check(command: &mut Command, expected: &Expected<'_>) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let told = format!("--- standard output\n{out}--- standard error\n{err}");
    assert_eq!(output.status.code(), Some(expected.code), "{told}");
    for (stream, parts) in [(&out, expected.out), (&err, expected.err)] {
        assert_eq!(stream.is_empty(), parts.is_empty(), "{told}");
        for part in parts {
            assert!(stream.contains(part), "{part:?} is missing in\n{told}");
        }
    }
}
