//! Places in histories, as a client may name them: what it is told must fit together.

use super::run;
use crate::testing::{Client, Fixture, Frame, Settings};
use serde_json::{Value, json};

/// How many publications are kept: few, so that places soon lie before all of them.
const KEPT: u32 = 4;

/// Publications, subscriptions, recoveries and reads of one channel, two bytes each: what, and at which place.
pub fn positions(data: &[u8]) {
    run(async {
        let fixture = Fixture::with(Settings { history: KEPT, ..Settings::default() });
        let mut reader = Subscriber { client: fixture.connect().await, epoch: String::new(), next: None, id: 0 };
        reader.history(&json!({})).await;
        for pair in data.chunks_exact(2).take(200) {
            reader.step(pair[0], pair[1]).await;
        }
        for frame in reader.client.frames().await {
            if let Frame::Event(event) = frame {
                reader.take(&event);
            }
        }
        reader.client.vanish().await;
        fixture.assert_empty();
    });
}

struct Subscriber {
    client: Client,
    /// The channel's own epoch.
    epoch: String,
    /// Which offset must come next, while subscribed.
    next: Option<u64>,
    id: u64,
}

impl Subscriber {
    async fn step(&mut self, what: u8, at: u8) {
        let place = json!({ "epoch": self.epoch(what), "offset": offset(at) });
        match what % 8 {
            0 | 1 => drop(self.ask(json!({ "type": "publish", "content": at })).await),
            2 => self.subscribe(json!({})).await,
            3 => self.subscribe(json!({ "recover": place })).await,
            4 => {
                self.ask(json!({ "type": "unsubscribe" })).await;
                self.next = None;
            }
            5 => self.history(&json!({ "since": place })).await,
            6 => self.history(&json!({ "since": place, "limit": u32::from(at % 6) + 1, "reverse": true })).await,
            _ => self.history(&json!({ "limit": u32::from(at % 6) + 1, "reverse": at > 127 })).await,
        }
    }

    /// Now and then one that is not the channel's.
    fn epoch(&self, what: u8) -> &str {
        if what > 240 { "another" } else { &self.epoch }
    }

    async fn subscribe(&mut self, mut command: Value) {
        command["type"] = json!("subscribe");
        let recover = command["recover"].clone();
        let answer = self.ask(command).await;
        if answer["type"] == "error" {
            return;
        }
        assert_eq!(answer["recovered"].is_boolean(), recover.is_object(), "{answer}");
        if answer["recovered"] == true {
            assert_eq!(answer["offset"], recover["offset"], "recovered from another place");
        }
        self.next = Some(answer["offset"].as_u64().unwrap() + 1);
    }

    async fn history(&mut self, asked: &Value) {
        let mut command = asked.clone();
        command["type"] = json!("history");
        let answer = self.ask(command).await;
        assert_eq!(answer["type"], "ok", "{answer}");
        self.epoch = answer["epoch"].as_str().unwrap().to_owned();
        let newest = answer["offset"].as_u64().unwrap();
        let offsets = answer["publications"].as_array().unwrap().iter().map(|one| one["offset"].as_u64().unwrap());
        let offsets: Vec<_> = offsets.collect();
        assert!(offsets.len() <= KEPT as usize && offsets.iter().all(|offset| (1..=newest).contains(offset)));
        let reverse = asked["reverse"] == true;
        let follows = |pair: &[u64]| if reverse { pair[0] == pair[1] + 1 } else { pair[1] == pair[0] + 1 };
        assert!(offsets.windows(2).all(follows), "not in order: {answer}");
        if asked["since"]["epoch"] == self.epoch {
            let since = asked["since"]["offset"].as_u64().unwrap();
            let beyond = |offset: &u64| if reverse { *offset < since } else { *offset > since };
            assert!(offsets.iter().all(beyond), "on the wrong side of {since}: {answer}");
        }
    }

    /// Sends a command about the channel and returns its answer.
    async fn ask(&mut self, mut command: Value) -> Value {
        self.id += 1;
        command["id"] = json!(self.id);
        command["channel"] = json!("kept:a");
        self.client.send(&command.to_string()).await;
        loop {
            let event = self.client.event().await;
            self.take(&event);
            if event["id"] == self.id {
                return event;
            }
        }
    }

    /// Every message follows the last, or what was told to be the place that it follows.
    fn take(&mut self, event: &Value) {
        let offset = event["offset"].as_u64();
        match event["type"].as_str().unwrap() {
            "message" => {
                let expected = self.next.expect("a message without a subscription");
                assert_eq!(offset, Some(expected), "{event}");
                self.next = Some(expected + 1);
            }
            "lost" => self.next = Some(offset.unwrap() + 1),
            "ok" | "error" => {}
            other => panic!("{other} was not expected"),
        }
    }
}

/// Small numbers, and the largest that there are.
fn offset(at: u8) -> u64 {
    if at > 250 { u64::MAX - u64::from(255 - at) } else { u64::from(at) }
}
