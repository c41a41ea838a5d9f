#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
use super::*;
use crate::testing::{Answer, Gateway, UPGRADE, eventually};
use fanwire_tls::{ClientFiles, Clients, LeastVersion, Pair};
use prometheus::Registry;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{client::TlsStream, rustls::pki_types::ServerName};

const LONG: Duration = Duration::from_secs(60);

/// Certificates of a port, in a folder of their own.
struct Certified {
    folder: PathBuf,
    terminator: Arc<Terminator>,
    registry: Registry,
}

impl Certified {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fanwire-node-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pair = Pair { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        write(&pair);
        let files = ServerFiles { pairs: vec![pair], least_version: LeastVersion::Tls12, clients: Clients::Anyone };
        let registry = Registry::new();
        let metrics = TlsMetrics::new(&registry).unwrap();
        let terminator = Terminator::load(Port::Public, files, metrics).unwrap();
        Self { folder, terminator, registry }
    }

    fn pair(&self) -> &Pair {
        &self.terminator.files.pairs[0]
    }

    /// The counters of this name on the public port that are not zero.
    fn counted(&self, name: &str) -> Vec<(String, u64)> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let labels = |metric: &prometheus::proto::Metric| {
            metric.get_label().iter().map(|label| label.value().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let count = |metric: &prometheus::proto::Metric| metric.get_counter().get_value().to_string().parse().unwrap();
        let counts = family.get_metric().iter().map(|metric| (labels(metric), count(metric)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Connects with TLS, trusting what is in the files now.
    async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let trusted = ClientFiles { ca: Some(self.pair().cert.clone()), ..ClientFiles::default() };
        let name = ServerName::try_from("node").unwrap();
        trusted.load().unwrap().connect(name, TcpStream::connect(address).await?).await
    }
}

impl Drop for Certified {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Makes a new pair.
fn write(pair: &Pair) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["node".to_owned()]).unwrap();
    fs::write(&pair.cert, cert.pem()).unwrap();
    fs::write(&pair.key, signing_key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn a_socket_is_upgraded_over_tls() {
    let certified = Certified::new("upgrade");
    let gateway = Gateway::start_secured(10, LONG, Arc::clone(&certified.terminator));
    let mut socket = certified.connect(gateway.address).await.unwrap();
    socket.write_all(UPGRADE.as_bytes()).await.unwrap();
    assert_eq!(Answer::head_of(&mut socket).await.status, 101);
    // An empty text of a plain connection is answered.
    socket.write_all(&[0x81, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), 0x81);
    assert_eq!(gateway.results(), [("accepted".to_owned(), 1)]);
    assert_eq!(certified.counted("fanwire_tls_handshakes_total"), [("public done".to_owned(), 1)]);
    drop(socket);
    eventually(async || gateway.upgrades.tracker.is_empty()).await;
}

#[tokio::test]
async fn a_handshake_takes_the_time_of_the_upgrade() {
    let certified = Certified::new("late");
    let gateway = Gateway::start_secured(10, Duration::from_millis(300), Arc::clone(&certified.terminator));
    let mut silent = gateway.connect().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or_default(), 0);
    assert_eq!(certified.counted("fanwire_tls_handshakes_total"), [("public timed_out".to_owned(), 1)]);
    let mut mute = certified.connect(gateway.address).await.unwrap();
    assert_eq!(mute.read(&mut [0]).await.unwrap_or_default(), 0);
    assert_eq!(gateway.results(), [("timed_out".to_owned(), 1)]);
}

#[tokio::test]
async fn what_is_no_tls_is_counted_by_kind() {
    let certified = Certified::new("kinds");
    let gateway = Gateway::start_secured(10, LONG, Arc::clone(&certified.terminator));
    let cases: [(&[u8], &[u8], &str); 3] = [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 ", "plain_http"),
        (b"\0\0\0\0\0\0\0\0", b"", "malformed"),
        (b"\x16\x03\x01\0\x05hello", b"", "malformed"),
    ];
    for (sent, answer, kind) in cases {
        let before = certified.counted("fanwire_tls_handshakes_total");
        let mut stream = gateway.connect().await;
        stream.write_all(sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut seen = Vec::new();
        // A reset where not all was read.
        let _ = stream.read_to_end(&mut seen).await;
        assert!(seen.starts_with(answer), "{seen:?} to {sent:?}");
        eventually(async || certified.counted("fanwire_tls_handshakes_total") != before).await;
        let counted = certified.counted("fanwire_tls_handshakes_total");
        assert!(counted.iter().any(|(result, _)| result == &format!("public {kind}")), "{counted:?}");
    }
}

#[tokio::test]
async fn tls_on_a_port_without_it_is_no_request() {
    let gateway = Gateway::start(10, LONG);
    let mut stream = gateway.connect().await;
    stream.write_all(b"\x16\x03\x01\0\x05hello").await.unwrap();
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap_or_default(), 0);
    assert_eq!(gateway.results(), [("malformed".to_owned(), 1)]);
}

#[tokio::test]
async fn new_certificates_are_for_new_handshakes_and_bad_ones_for_none() {
    let certified = Certified::new("reload");
    let gateway = Gateway::start_secured(10, LONG, Arc::clone(&certified.terminator));
    write(certified.pair());
    certified.connect(gateway.address).await.expect_err("the old certificate is not the one in the file");
    certified.terminator.reload();
    certified.connect(gateway.address).await.unwrap();
    let good = fs::read(&certified.pair().cert).unwrap();
    fs::write(&certified.pair().cert, "nothing").unwrap();
    certified.terminator.reload();
    fs::write(&certified.pair().cert, good).unwrap();
    certified.connect(gateway.address).await.unwrap();
    let expected = [("public loaded".to_owned(), 1), ("public refused".to_owned(), 1)];
    assert_eq!(certified.counted("fanwire_tls_reloads_total"), expected);
}

#[tokio::test]
async fn a_slow_client_of_the_internal_port_holds_up_nobody() {
    let certified = Certified::new("slow");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut listener = TlsListener::new(listener, Arc::clone(&certified.terminator), LONG);
    let _silent = TcpStream::connect(address).await.unwrap();
    let accepting = axum::serve::Listener::accept(&mut listener);
    let ((_, peer), secured) = tokio::join!(accepting, certified.connect(address));
    assert_eq!(secured.unwrap().get_ref().0.local_addr().unwrap(), peer);
}

#[tokio::test]
async fn a_page_of_the_node_itself_may_connect_over_tls() {
    let certified = Certified::new("origin");
    let gateway = Gateway::start_secured(10, LONG, Arc::clone(&certified.terminator));
    for (origin, status) in [("https://node", 101), ("http://node", 403), ("https://elsewhere", 403)] {
        let mut socket = certified.connect(gateway.address).await.unwrap();
        let request = UPGRADE.replacen("Host", &format!("Origin: {origin}\r\nHost"), 1);
        socket.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Answer::head_of(&mut socket).await.status, status, "{origin}");
    }
}
