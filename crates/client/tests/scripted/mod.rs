//! A WebSocket server that does what each test says.
#![allow(dead_code, reason = "no file of tests needs all of it")]

pub(crate) mod address;

use fanwire_client::Encoding;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::CloseFrame,
    },
};

/// The node's side of a connection.
pub(crate) struct Node {
    pub(crate) socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
}

impl Node {
    #[expect(clippy::result_large_err, reason = "the library asks for this type")]
    /// Takes the upgrade over `stream`.
    pub(crate) async fn accept(stream: TcpStream) -> Self {
        let mut encoding = Encoding::Json;
        let choose = |request: &Request, mut response: Response| {
            let offered = request.headers()[SEC_WEBSOCKET_PROTOCOL].to_str().unwrap().to_owned();
            if offered == "fanwire.v1.msgpack" {
                encoding = Encoding::MessagePack;
            }
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(&offered).unwrap());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, choose).await.unwrap();
        Self { socket, encoding }
    }

    /// Sends `event`.
    pub(crate) async fn tell(&mut self, event: Value) {
        let message = match self.encoding {
            Encoding::Json => Message::text(event.to_string()),
            Encoding::MessagePack => Message::binary(rmp_serde::to_vec_named(&event).unwrap()),
        };
        self.socket.send(message).await.unwrap();
    }

    /// The first event; `heartbeat` is in seconds.
    pub(crate) async fn welcome(&mut self, node: u64, heartbeat: f64) {
        self.welcome_at(node, heartbeat, None).await;
    }

    /// The first event, with the place in the history of broadcasts.
    pub(crate) async fn welcome_at(&mut self, node: u64, heartbeat: f64, broadcast: Option<Value>) {
        let (connection, version) = ([node, 1], "9");
        let mut event = json!({"type": "welcome", "connection": connection, "node": node, "version": version,
            "heartbeat": heartbeat, "new": 1});
        if let Some(place) = broadcast {
            event["broadcast"] = place;
        }
        self.tell(event).await;
    }

    /// The next command; `None` when the client has closed.
    pub(crate) async fn hear(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Binary(bytes) => return Some(rmp_serde::from_slice(&bytes).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    pub(crate) async fn ok(&mut self, command: &Value) {
        self.tell(json!({"type": "ok", "id": command["id"]})).await;
    }

    pub(crate) async fn refuse(&mut self, command: &Value, code: &str) {
        self.tell(json!({"type": "error", "id": command["id"], "code": code, "message": "no"})).await;
    }

    /// Hears commands of this type for these channels, in order, and grants them.
    pub(crate) async fn grant(&mut self, kind: &str, channels: &[&str]) {
        for channel in channels {
            let command = self.hear().await.unwrap();
            assert_eq!((&command["type"], &command["channel"]), (&json!(kind), &json!(channel)));
            self.ok(&command).await;
        }
    }

    pub(crate) async fn publish(&mut self, channel: &str, content: &str) {
        self.tell(json!({"type": "message", "channel": channel, "content": content})).await;
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "because".into() };
        self.socket.close(Some(frame)).await.unwrap();
        assert_eq!(self.hear().await, None);
    }
}
