use super::*;
use crate::outbox::{Kind, Outbox, Parcel};
use bytes::Bytes;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
};

/// What the kernel may hold unsent, in bytes: so little that most writes are cut.
const KERNEL: usize = 4 << 10;

fn configs() -> (ServerConfig, ClientConfig) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["node".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = || Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    (
        server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap(),
        client.with_root_certificates(roots).with_no_client_auth(),
    )
}

/// Both ends of a connection after its handshake.
async fn pair() -> (Arc<Tls>, TlsStream<TcpStream>) {
    let (server, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (connected, accepted) = tokio::join!(connecting, listener.accept());
    let (connected, (accepted, _)) = (connected.unwrap(), accepted.unwrap());
    SockRef::from(&accepted).set_send_buffer_size(KERNEL).unwrap();
    let name = ServerName::try_from("node").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (client, server) =
        tokio::join!(connector.connect(name, connected), TlsAcceptor::from(Arc::new(server)).accept(accepted));
    let (stream, connection) = server.unwrap().into_inner();
    (Tls::new(stream, connection), client.unwrap())
}

/// Frames of all lengths, none shorter than a frame can be, and all different.
fn frames(count: usize) -> Vec<Bytes> {
    let length = |number: usize| [2, 3, 140, 9000, RECORD - 1, RECORD, RECORD + 1, 40_000][number % 8] + number / 64;
    let byte = |number: usize| u8::try_from(number % 251).unwrap();
    (0..count).map(|number| vec![byte(number); length(number)].into()).collect()
}

/// Hands over frames as a connection does, and returns the most that was held.
async fn send(tls: &Arc<Tls>, frames: &[Bytes], at_once: usize) -> usize {
    let (mut outbox, mut most) = (Outbox::default(), 0);
    for parcel in frames.chunks(at_once) {
        outbox.push_rest(&Parcel::new(parcel, Kind::Answer), 0);
        while !outbox.is_empty() {
            match outbox.write_with(|slices| tls.try_write_vectored(slices)) {
                Ok(count) => outbox.advance(count),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    most = most.max(tls.held());
                    Arc::clone(tls).writable().await;
                }
            }
        }
    }
    assert_eq!(tls.held(), 0);
    most
}

#[tokio::test]
async fn bytes_leave_in_order_whatever_the_kernel_takes() {
    for at_once in [1, 3, 7, 64] {
        let (tls, mut client) = pair().await;
        let frames = frames(64);
        let expected = frames.concat();
        let reading = async {
            let mut seen = vec![0; expected.len()];
            client.read_exact(&mut seen).await.unwrap();
            seen
        };
        let (seen, most) = tokio::join!(reading, send(&tls, &frames, at_once));
        assert!(seen == expected, "{at_once} at once");
        assert!((1..RECORD + 64).contains(&most), "{most} bytes were held");
    }
}

#[tokio::test]
async fn what_is_held_goes_first_and_the_frame_counts_as_begun() {
    let (tls, mut client) = pair().await;
    let frame = vec![7; RECORD];
    let taken = loop {
        match tls.try_write_vectored(&[IoSlice::new(&frame)]) {
            Ok(taken) if taken < frame.len() => break taken,
            Ok(_) => {}
            Err(error) => panic!("{error}, though no frame was cut yet"),
        }
    };
    assert_eq!(taken, frame.len() - 1);
    assert!(tls.held() > 0);
    let refused = tls.try_write_vectored(&[IoSlice::new(&frame[taken..])]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        seen
    });
    send(&tls, &[frame[taken..].to_vec().into(), vec![8; 10].into()], 2).await;
    tls.finish();
    let seen = reading.await.unwrap();
    assert!(seen.ends_with(&[[7; 10], [8; 10]].concat()) && seen.len() % RECORD == 10, "{}", seen.len());
}

#[track_caller]
fn check_record(lengths: &[usize], skip: usize, expected: &[usize]) {
    let buffers: Vec<_> = lengths.iter().map(|length| vec![0; *length]).collect();
    let buffers: Vec<_> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
    let lengths: Vec<_> = record(&buffers, skip).iter().map(|slice| slice.len()).collect();
    assert_eq!(lengths, expected);
}

#[test]
fn a_record_is_filled_but_takes_no_single_byte_of_a_frame() {
    check_record(&[10, 20], 0, &[10, 20]);
    check_record(&[10, 20], 1, &[9, 20]);
    check_record(&[1, 20], 1, &[20]);
    check_record(&[1], 1, &[]);
    check_record(&[], 0, &[]);
    check_record(&[1, 0, 5], 0, &[1, 5]);
    check_record(&[RECORD + 10], 0, &[RECORD]);
    check_record(&[RECORD - 2, 10, 10], 0, &[RECORD - 2, 2]);
    check_record(&[RECORD - 1, 10, 10], 0, &[RECORD - 1]);
    check_record(&[RECORD, 10, 10], 1, &[RECORD - 1]);
}

#[tokio::test]
async fn what_the_client_sends_is_read_to_its_end() {
    let (tls, mut client) = pair().await;
    let sent = vec![3; 100_000];
    let sending = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let mut seen = Vec::new();
    let mut reader = tls.reader();
    let (read, ()) = tokio::join!(reader.read_to_end(&mut seen), sending);
    assert_eq!((read.unwrap(), seen == sent), (sent.len(), true));
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_is_told_and_nothing_more_is_written() {
    let (tls, client) = pair().await;
    let (mut socket, _) = client.into_inner();
    socket
        .write_all(&[23, 3, 3, 0, 20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
        .await
        .unwrap();
    let error = tls.reader().read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(tls.try_write_vectored(&[IoSlice::new(b"more")]).unwrap_err().kind(), ErrorKind::InvalidData);
    let mut alert = [0; 5];
    socket.read_exact(&mut alert).await.unwrap();
    assert!(matches!(alert, [21 | 23, 3, 3, 0, _]), "{alert:?}");
}

#[tokio::test]
async fn an_aborted_socket_ends_for_both() {
    let (tls, mut client) = pair().await;
    tls.abort();
    assert!(client.read_u8().await.is_err());
    assert!(tls.reader().read_u8().await.is_err());
}

#[test]
fn a_connection_is_as_small_as_rustls_lets_it_be() {
    assert!(size_of::<Tls>() <= 2048, "{}", size_of::<Tls>());
}
