//! Control frames from clients (RFC 6455, section 5.5).

use super::{Message, Violation, head::Control};

/// What the control frame with this payload says.
pub(super) fn message(control: Control, payload: &[u8]) -> Result<Message<'_>, Violation> {
    Ok(match control {
        Control::Ping => Message::Ping(payload),
        Control::Pong => Message::Pong,
        Control::Close => Message::Close(close_code(payload)?),
    })
}

fn close_code(body: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, text)) = body.split_first_chunk() else {
        return if body.is_empty() { Ok(None) } else { Err(Violation::HalfCloseCode) };
    };
    let code = u16::from_be_bytes(*code);
    // Section 7.4, and the registry of close codes: 1004 is reserved, 1005, 1006 and 1015 are never sent.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::CloseCode(code));
    }
    if str::from_utf8(text).is_err() {
        return Err(Violation::NotUtf8);
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: Result<Option<u16>, Violation>) {
        assert_eq!(close_code(body), expected, "{body:02x?}");
    }

    #[test]
    fn a_close_has_no_body_or_a_code_that_may_be_sent_and_a_text() {
        check(b"", Ok(None));
        check(b"\x03", Err(Violation::HalfCloseCode));
        check(b"\x03\xe8bye", Ok(Some(1000)));
        check(b"\x03\xe8\xe5", Err(Violation::NotUtf8));
        for code in [1000, 1003, 1007, 1011, 1014, 3000, 4999_u16] {
            check(&code.to_be_bytes(), Ok(Some(code)));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            check(&code.to_be_bytes(), Err(Violation::CloseCode(code)));
        }
    }
}
