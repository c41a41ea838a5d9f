//! What goes to standard output and to standard error. Results go to the former, all else to the latter.

use std::io::{self, Write};

/// Writes `line` to standard output at once.
///
/// # Errors
/// When it can't be written, among others because its reader has left.
pub(crate) fn result(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Writes `text` to standard error, or nowhere if that is closed.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "fanwire: {text}");
}

/// `text` on one line and without what terminals take as commands: control characters become escapes.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_escapes() {
        assert_eq!(printable("a\tb\nc\u{1b}[31m ü 广 \\ \u{9b}"), "a\\tb\\nc\\u{1b}[31m ü 广 \\ \\u{9b}");
    }
}
