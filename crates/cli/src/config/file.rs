//! The layer of the configuration file.

use super::{
    layer::{Layer, Origin, flatten},
    problem::{Problem, Problems},
};
use config::{File, FileFormat, Source, ValueKind};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Which file is read.
#[derive(Debug, Clone)]
pub(crate) enum FileChoice {
    /// One that somebody named: it must exist.
    Named(PathBuf),
    /// One that is read if it exists.
    IfPresent(PathBuf),
}

/// Reads the file.
pub(crate) fn read(choice: &FileChoice, defaults: &Layer) -> (Layer, Problems) {
    let (FileChoice::Named(path) | FileChoice::IfPresent(path)) = choice;
    match text(path) {
        Ok(text) => parse(&text, &Origin::file(path), defaults),
        Err(error) if is_absent(&error) && matches!(choice, FileChoice::IfPresent(_)) => Default::default(),
        Err(error) => (Layer::default(), Problem::source(&Origin::file(path), error).into()),
    }
}

/// Reads the file itself, since the `config` crate looks for files with similar names and repairs broken UTF-8.
fn text(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Reads the text of a file.
pub(crate) fn parse(text: &str, origin: &Origin, defaults: &Layer) -> (Layer, Problems) {
    let (mut layer, mut problems) = (Layer::default(), Problems::default());
    let tree = match File::from_str(text, FileFormat::Toml).collect() {
        Ok(tree) => tree,
        Err(error) => return (layer, Problem::source(origin, without_excerpt(&error.to_string())).into()),
    };
    for (key, value) in flatten(tree) {
        match value.kind {
            kind if defaults.has(&key) => layer.set(&key, kind, origin),
            ValueKind::Table(_) if defaults.has_group(&key) => layer.declare(&key),
            kind => problems.push(Problem::unknown_key(&key, &kind, origin, defaults)),
        }
    }
    (layer, problems)
}

/// A parser's message without the lines that quote the file, for the quoted line may hold a secret.
fn without_excerpt(message: &str) -> String {
    let is_quote =
        |line: &&str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    let lines: Vec<_> = message.lines().filter(|line| !is_quote(line)).collect();
    lines.join(": ")
}
