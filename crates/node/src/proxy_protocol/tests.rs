#![allow(clippy::unwrap_used)]
use super::{Announced::Nobody, *};
use proptest::prelude::*;
use proxy_protocol_rs::HeaderBuilder;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;

const REST: &[u8] = b"GET / HTTP/1.1\r\n";

/// What is read of `header`, with a request behind it, however it is cut; and that nothing of the request is taken.
async fn read_in_pieces(header: &[u8], piece: usize) -> Result<Announced, Unannounced> {
    let (mut ours, mut theirs) = tokio::io::duplex(piece);
    let sent = [header, REST].concat();
    let writing = tokio::spawn(async move { theirs.write_all(&sent).await });
    let read = read(&mut ours).await;
    if read.is_ok() {
        let mut rest = vec![0; REST.len()];
        ours.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest, REST, "behind {header:?}");
    }
    drop(ours);
    let _ = writing.await;
    read
}

async fn reads(header: &[u8]) -> Result<Announced, Unannounced> {
    let whole = read_in_pieces(header, 1 << 17).await;
    assert_eq!(read_in_pieces(header, 1).await, whole, "{header:?}");
    whole
}

async fn check(header: &[u8], announced: Announced) {
    assert_eq!(reads(header).await, Ok(announced), "{header:?}");
}

/// `header` can't be understood, and the reason has these words.
async fn check_invalid(header: &[u8], words: &str) {
    let read = reads(header).await;
    assert!(matches!(&read, Err(Unannounced::Invalid(why)) if why.contains(words)), "{header:?}: {read:?}");
}

fn client(address: &str) -> Announced {
    Announced::Client { address: address.parse().unwrap(), scheme: None }
}

fn proxied(source: &str, destination: &str) -> HeaderBuilder {
    let [source, destination]: [SocketAddr; 2] = [source, destination].map(|address| address.parse().unwrap());
    HeaderBuilder::v2_proxy(source, destination)
}

fn v2() -> Vec<u8> {
    proxied("1.2.3.4:5", "10.0.0.1:80").build()
}

/// A header of version 2 by hand.
fn by_hand(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &length, block].concat()
}

#[tokio::test]
async fn a_header_tells_the_client() {
    check(&v2(), client("1.2.3.4")).await;
    check(&proxied("[2001:db8::1]:5", "[::1]:80").build(), client("2001:db8::1")).await;
    check(b"PROXY TCP4 1.2.3.4 10.0.0.1 5 80\r\n", client("1.2.3.4")).await;
    check(b"PROXY TCP6 2001:db8::1 ::1 5 80\r\n", client("2001:db8::1")).await;
    let tls = Announced::Client { address: [1, 2, 3, 4].into(), scheme: Some(Scheme::Https) };
    let ssl = [0x20, 0, 5, 1, 0, 0, 0, 0];
    check(&by_hand(0x21, 0x11, &[&[1, 2, 3, 4, 10, 0, 0, 1, 0, 5, 0, 80][..], &ssl].concat()), tls).await;
    let without_tls = [0x20, 0, 5, 0, 0, 0, 0, 0];
    let plain = by_hand(0x21, 0x11, &[&[1, 2, 3, 4, 10, 0, 0, 1, 0, 5, 0, 80][..], &without_tls].concat());
    check(&plain, client("1.2.3.4")).await;
}

#[tokio::test]
async fn a_header_may_tell_of_nobody() {
    check(b"PROXY UNKNOWN\r\n", Nobody).await;
    check(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Nobody).await;
    // Whatever a LOCAL header has besides: also what looks like a checksum that is wrong.
    for block in [&[][..], &[3, 0, 4, 1, 2, 3, 4], &[1, 2, 3, 4, 10, 0, 0, 1, 0, 5, 0, 80], &[9]] {
        for family in [0x00, 0x11, 0x21, 0xff] {
            check(&by_hand(0x20, family, block), Nobody).await;
        }
    }
    check(&by_hand(0x21, 0x00, &[]), Nobody).await;
    check(&by_hand(0x21, 0x00, &[1; 40]), Nobody).await;
    check(&by_hand(0x21, 0x31, &[b'/'; 216]), Nobody).await;
}

#[tokio::test]
async fn a_checksum_is_verified() {
    let header = proxied("1.2.3.4:5", "10.0.0.1:80").with_crc32c().build();
    check(&header, client("1.2.3.4")).await;
    for at in [16, header.len() - 1] {
        let mut wrong = header.clone();
        wrong[at] ^= 1;
        check_invalid(&wrong, "CRC32c mismatch").await;
    }
}

#[tokio::test]
async fn what_is_no_header_is_told_by_its_first_byte() {
    for other in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03a",
        b"PROXZ TCP4 1.1.1.1",
        b"\r\n\r\n\0\r\nQUIT\t",
    ] {
        assert_eq!(reads(other).await, Err(Unannounced::Missing(other[0])));
    }
    assert_eq!(read(&mut &b""[..]).await, Err(Unannounced::Vanished));
}

#[tokio::test]
async fn what_is_wrong_with_a_header_is_told() {
    for (header, words) in [
        (by_hand(0x11, 0x11, &[0; 12]), "version"),
        (by_hand(0x2f, 0x11, &[0; 12]), "command"),
        (by_hand(0x21, 0x41, &[0; 12]), "family"),
        (by_hand(0x21, 0x13, &[0; 12]), "protocol"),
        (by_hand(0x21, 0x12, &[0; 12]), "datagrams"),
        (by_hand(0x21, 0x11, &[0; 11]), "payload"),
        (by_hand(0x21, 0x21, &[0; 35]), "payload"),
        (by_hand(0x21, 0x31, &[0; 215]), "payload"),
        (by_hand(0x21, 0x11, &[0; 14]), "TLV"),
        (by_hand(0x21, 0x11, &[&[0; 12][..], &[1, 0xff, 0xff]].concat()), "TLV"),
        (by_hand(0x21, 0x11, &[0; LONGEST - V2_FIXED + 1]), "at most 8192"),
        (by_hand(0x21, 0x11, &[0; 65_535]), "at most 8192"),
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 5\r\n".to_vec(), "6 space-separated"),
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 5 80 x\r\n".to_vec(), "6 space-separated"),
        (b"PROXY TCP4 ::1 10.0.0.1 5 80\r\n".to_vec(), "IP address"),
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 5 65536\r\n".to_vec(), "port"),
        (b"PROXY UDP4 1.2.3.4 10.0.0.1 5 80\r\n".to_vec(), "UDP4"),
        ([b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(), "107-byte"),
        (b"PROXY TCP4 \xff.2.3.4 10.0.0.1 5 80\r\n".to_vec(), "UTF-8"),
    ] {
        check_invalid(&header, words).await;
    }
    check(&by_hand(0x20, 0x00, &[0; LONGEST - V2_FIXED]), Nobody).await;
}

#[tokio::test]
async fn a_header_that_is_cut_off_is_none() {
    for header in [v2(), b"PROXY TCP4 1.2.3.4 10.0.0.1 5 80\r\n".to_vec(), b"PROXY UNKNOWN\r\n".to_vec()] {
        for end in 1..header.len() {
            let read = read(&mut &header[..end]).await;
            assert!(matches!(&read, Err(Unannounced::Invalid(why)) if why.starts_with("cut off")), "{end}: {read:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        beginning in prop_oneof![Just(&b""[..]), Just(&V2_SIGNATURE[..]), Just(V1_SIGNATURE)],
    ) {
        let bytes = [beginning, &bytes].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut rest = &bytes[..];
        let read = runtime.block_on(read(&mut rest));
        prop_assert!(bytes.len() - rest.len() <= LONGEST);
        prop_assert!(read.is_err() || !beginning.is_empty() || bytes.starts_with(V1_SIGNATURE));
    }
}
