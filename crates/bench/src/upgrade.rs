//! The opening handshake (RFC 6455, section 4.1).

use crate::{Error, Target, speech::Speech};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The key of the RFC's own example: with one fixed key and its answer no hash is needed.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The answer to it.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 16 * 1024;

const END: &[u8] = b"\r\n\r\n";

/// Upgrades `stream`; gives the bytes that came after the answer.
pub async fn upgrade(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &Target,
    speech: &Speech,
) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Connect { address: target.address, source };
    stream.write_all(request(target, speech).as_bytes()).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        let read = stream.read_buf(&mut answer).await.map_err(failed)?;
        if let Some(end) = answer.windows(END.len()).position(|window| window == END) {
            check(&answer[..end], speech).map_err(|answer| Error::Upgrade { address: target.address, answer })?;
            return Ok(answer.split_off(end + END.len()));
        }
        if read == 0 || answer.len() > LONGEST_ANSWER {
            let answer = "the answer is no HTTP head of at most 16 KiB".to_owned();
            return Err(Error::Upgrade { address: target.address, answer });
        }
    }
}

fn request(target: &Target, speech: &Speech) -> String {
    let subprotocol =
        speech.subprotocol().map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n{subprotocol}\r\n",
        target.path, target.address,
    )
}

fn check(head: &[u8], speech: &Speech) -> Result<(), String> {
    let head = String::from_utf8_lossy(head);
    let (status, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    if status.split(' ').nth(1) != Some("101") {
        return Err(status.to_owned());
    }
    expect_header(headers, "sec-websocket-accept", ACCEPT)?;
    match speech.subprotocol() {
        Some(name) => expect_header(headers, "sec-websocket-protocol", name),
        None => Ok(()),
    }
}

fn expect_header(headers: &str, name: &str, expected: &str) -> Result<(), String> {
    let value = headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim());
    match value {
        Some(value) if value == expected => Ok(()),
        Some(value) => Err(format!("{name} is {value:?}, not {expected:?}")),
        None => Err(format!("{name} is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    #[track_caller]
    fn check_answer(head: &str, expected: Result<(), &str>) {
        assert_eq!(check(head.as_bytes(), &Speech::Native(Dialect::Json)), expected.map_err(str::to_owned));
    }

    #[test]
    fn only_a_complete_upgrade_is_accepted() {
        let accept = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n");
        check_answer(&format!("{accept}Sec-WebSocket-Protocol: fanwire.v1.json"), Ok(()));
        check_answer(&accept, Err("sec-websocket-protocol is missing"));
        check_answer(
            &format!("{accept}sec-websocket-protocol: x"),
            Err("sec-websocket-protocol is \"x\", not \"fanwire.v1.json\""),
        );
        check_answer("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1", Err("HTTP/1.1 503 Service Unavailable"));
        check_answer("HTTP/1.1 101 Switching Protocols", Err("sec-websocket-accept is missing"));
    }
}
