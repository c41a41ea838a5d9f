//! JSON without the whitespace between its tokens.

use super::is_whitespace;

/// Appends the valid JSON text `json` without insignificant whitespace: numbers and strings stay as they are written.
pub(crate) fn minify(json: &[u8], out: &mut Vec<u8>) {
    let (mut in_string, mut escaped) = (false, false);
    out.extend(json.iter().filter(|byte| {
        let keep = in_string || !is_whitespace(char::from(**byte));
        match **byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        keep
    }));
}
