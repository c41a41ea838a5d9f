//! What can be wrong with a configuration, told so that it can be put right.

use super::{
    layer::{Layer, Origin},
    namespaces, secret_url,
    variables::PREFIX,
};
use config::ValueKind;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(String);

impl Problem {
    /// The value `literal` of `key`, which came from `origin`, is wrong.
    pub(crate) fn value(key: &str, literal: &str, origin: &Origin, wrong: impl fmt::Display) -> Self {
        Self(format!("{key} = {literal} ({origin}): {wrong}"))
    }

    /// There is no `key`.
    pub(crate) fn unknown_key(key: &str, value: &ValueKind, origin: &Origin, known: &Layer) -> Self {
        let literal = shown(value, &|text| hide_unknown(key, text));
        let namespace = namespaces::split(key).map(|(name, _)| name);
        let in_namespace =
            |known| namespace.map_or_else(|| str::to_owned(known), |name| namespaces::within_namespace(known, name));
        let known: Vec<_> = known.keys().map(in_namespace).collect();
        let known = || known.iter().map(String::as_str);
        let help = namespace
            .and_then(namespaces::invalid)
            .or_else(|| if key.contains('.') { nearest(key, known()) } else { None }.map(likely))
            .or_else(|| group(key, known()))
            .or_else(|| nearest(key, known()).map(likely));
        let help = help.unwrap_or_else(|| "`fanwire check` lists all keys".to_owned());
        Self(format!("{} = {literal} ({origin}): no such key; {help}", key.escape_debug()))
    }

    /// There is no environment variable called `name`.
    pub(crate) fn unknown_variable<'a>(name: &'a str, value: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let literal = shown(&value.into(), &|text| hide_unknown(name, text));
        // What all names have in common would make any two of them alike.
        let bare = |name: &'a str| name.strip_prefix(PREFIX).unwrap_or(name);
        let help = nearest(bare(name), known.into_iter().map(bare)).map_or_else(
            || format!("the names are {PREFIX}GROUP__KEY, such as {PREFIX}SERVER__LISTEN"),
            |known| format!("did you mean {PREFIX}{known}?"),
        );
        Self(format!("environment variable {} = {literal}: no such setting; {help}", name.escape_debug()))
    }

    /// The environment variable called `name` is no Unicode.
    pub(crate) fn not_unicode(name: &str) -> Self {
        Self(format!("environment variable {}: is not valid UTF-8", name.escape_debug()))
    }

    /// The source `origin` can't be read.
    pub(crate) fn source(origin: &Origin, wrong: impl fmt::Display) -> Self {
        Self(format!("{origin}: {wrong}"))
    }

    /// What has no better place.
    pub(crate) fn other(wrong: &impl fmt::Display) -> Self {
        Self(wrong.to_string())
    }
}

fn likely(key: &str) -> String {
    format!("did you mean {key}?")
}

/// The keys of the group that `key` names or lies in.
fn group<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let group = key.split('.').next().unwrap_or(key);
    let prefix = format!("{group}.");
    let keys: Vec<_> = known.filter(|known| known.starts_with(&prefix)).collect();
    (!keys.is_empty()).then(|| format!("the keys of {group} are {}", keys.join(", ")))
}

/// What `name` was probably meant to be.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this, the likeness misleads more often than it helps.
    const ALIKE: f64 = 0.7;
    let likeness = |known: &str| {
        let last = known.rsplit('.').next();
        if last == Some(name) { 0.9 } else { strsim::normalized_damerau_levenshtein(name, known) }
    };
    let alike = known.map(|known| (likeness(known), known)).filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// A value as TOML on one line, a text after `hide`.
pub(crate) fn shown(kind: &ValueKind, hide: &dyn Fn(&str) -> String) -> String {
    match kind {
        ValueKind::String(text) => quoted(&hide(text)),
        ValueKind::Table(_) => "{…}".to_owned(),
        ValueKind::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(&item.kind, hide)).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// A basic string of TOML. JSON's escapes are among TOML's, which asks for one more.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Hides what may be a secret under a misspelt key.
fn hide_unknown(key: &str, text: &str) -> String {
    let key = key.to_ascii_lowercase();
    if ["pass", "secret", "token", "auth"].iter().any(|word| key.contains(word)) {
        "***".to_owned()
    } else {
        secret_url::hide(text)
    }
}

/// Everything that is wrong, to be shown together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds several.
    pub(crate) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.0.extend(problems);
    }

    /// Keeps the problems of `outcome` and hands on its value.
    pub(crate) fn catch<T>(&mut self, (value, problems): (T, Self)) -> T {
        self.extend(problems.0);
        value
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is wrong:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {}", problem.0))
    }
}

impl std::error::Error for Problems {}
