//! What fuzzers call: whatever a file or the environment says, it is taken or every problem is told.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Environment, FileChoice, Inputs, Layer, Loaded, Origin, Problems, combine, file};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

/// The text of a file.
pub(crate) fn file_text(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        judge(load(text, &Environment::new()));
    }
}

/// Variables, each on a line of its own: the name, `=`, the value.
pub(crate) fn environment(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n');
    let pairs = lines.map(|line| line.split_at(line.iter().position(|byte| *byte == b'=').unwrap_or(line.len())));
    let variable = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let environment = pairs.map(|(name, value)| (variable(name), variable(value.get(1..).unwrap_or_default())));
    judge(load("", &environment.collect()));
}

fn load(text: &str, environment: &Environment) -> Result<Loaded, Problems> {
    let defaults = Layer::defaults();
    let mut problems = Problems::default();
    let read = problems.catch(file::parse(text, &Origin::file("fuzzed".as_ref()), &defaults));
    let inputs = Inputs { file: FileChoice::IfPresent(PathBuf::new()), environment, flags: Vec::new() };
    combine(&inputs, &defaults, read, problems)
}

/// What loads can be shown, and what is shown is a file that loads and says the same.
fn judge(loaded: Result<Loaded, Problems>) {
    match loaded {
        Ok(loaded) => {
            let shown = loaded.effective.to_string();
            let again = load(&shown, &Environment::new()).map(|loaded| loaded.effective.to_string());
            assert_eq!(again.map(|again| values(&again)), Ok(values(&shown)), "{shown}");
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

/// The lines without the origins behind them.
fn values(shown: &str) -> Vec<String> {
    shown.lines().map(|line| line.rsplit_once(" # ").map_or(line, |(value, _)| value).to_owned()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    include!("../../../../fuzz/corpora.rs");

    #[test]
    fn file_text_of_the_corpus_does_no_harm() {
        each("file_text", file_text);
    }

    #[test]
    fn environment_of_the_corpus_does_no_harm() {
        each("environment", environment);
    }
}
