#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::testing::{Answer, namespaces};
use fanwire_broker::{LinkState, memory::MemoryBroker, metrics::BrokerMetrics};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

/// A served internal port.
struct Served {
    address: SocketAddr,
    link: watch::Sender<LinkState>,
    readiness: Readiness,
}

fn serve() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, registry) = (listener.local_addr().unwrap(), Registry::new());
    let link = watch::Sender::new(LinkState::Starting("connecting".to_owned()));
    let readiness = Readiness::new(link.subscribe(), &namespaces(0));
    let metrics = Metrics::new(&registry).unwrap();
    let (broker, _feed) = MemoryBroker::start(BrokerMetrics::register(&registry).unwrap());
    let keys = ApiKeys::default();
    let (kept, users, scheme) = (crate::control::kept(Duration::from_secs(60)), Users::default(), Scheme::Http);
    let internal = Internal { readiness: readiness.clone(), registry, metrics, broker, kept, users, keys, scheme };
    let router = router(internal).route("/bug", get(bug));
    tokio::spawn(super::serve(listener, None, Duration::from_secs(60), router).unwrap());
    Served { address, link, readiness }
}

async fn bug() {
    panic!("a bug")
}

impl Served {
    async fn get(&self, path: &str) -> Answer {
        Answer::to(self.address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let answer = self.get(path).await;
        assert!(answer.has("content-type: application/json"));
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    async fn ready_metric(&self) -> Option<String> {
        let text = self.get("/metrics").await.body;
        text.lines().find_map(|line| line.strip_prefix("fanwire_ready ")).map(str::to_owned)
    }
}

#[tokio::test]
async fn readiness_says_why_not() {
    let served = serve();
    let starting = json!({ "ready": false, "reason": "starting", "detail": "connecting" });
    assert_eq!(served.json("/health/ready").await, (503, starting));
    assert_eq!(served.ready_metric().await.as_deref(), Some("0"));

    served.link.send(LinkState::Up).unwrap();
    assert_eq!(served.json("/health/ready").await, (200, json!({ "ready": true })));
    assert_eq!(served.ready_metric().await.as_deref(), Some("1"));

    served.link.send(LinkState::Down("reset".to_owned())).unwrap();
    let broker = json!({ "ready": false, "reason": "broker", "detail": "reset" });
    assert_eq!(served.json("/health/ready").await, (503, broker));

    served.readiness.drain();
    assert_eq!(served.json("/health/ready").await, (503, json!({ "ready": false, "reason": "draining" })));
    assert_eq!(served.json("/health/live").await, (200, json!({ "live": true })));
}

#[tokio::test]
async fn metrics_are_in_the_text_format() {
    let answer = serve().get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.has("content-type: text/plain; version=0.0.4"));
    assert!(answer.body.contains("# TYPE fanwire_upgrades_total counter\n"));
}

#[tokio::test]
async fn the_root_lists_what_there_is() {
    let served = serve();
    let answer = served.get("/").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "/metrics\n/health/live\n/health/ready\n/api/disconnect\n")
    );
    assert!(answer.has("content-type: text/plain; charset=utf-8"));
    for path in answer.body.lines() {
        assert_ne!(served.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn there_is_nothing_else() {
    let served = serve();
    for path in ["/metrics/", "/health", "/favicon.ico"] {
        let answer = served.get(path).await;
        assert!(answer.has("content-type: application/problem+json"));
        let expected = "not here: this port has /metrics, /health/live, /health/ready and /api/disconnect";
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, problem["detail"].as_str()), (404, Some(expected)), "{path}");
    }
}

#[tokio::test]
async fn a_request_whose_handler_panics_is_cut_off_and_the_next_is_answered() {
    let served = serve();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /bug HTTP/1.1\r\nHost: node\r\n\r\n").await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap_or_default(), 0);
    assert_eq!(served.get("/health/live").await.status, 200);
}
