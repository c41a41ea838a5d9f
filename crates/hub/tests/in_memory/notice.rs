//! Events about the link: behind all earlier publications and before all later ones.

use crate::support::{Fixture, Frame, broadcast, message, settle, text, to, to_all};
use fanwire_protocol::{Dialect, Event};

fn gap() -> Frame {
    text(r#"{"type":"gap","seconds":1.5}"#)
}

#[tokio::test(start_paused = true)]
async fn a_notice_keeps_its_place_among_all_channels() {
    let fixture = Fixture::start();
    let mut clients = fixture.subscribers(200, "a").await;
    for client in &clients {
        client.join("b").await;
    }
    settle().await;
    fixture.stall(0, true);
    let deliver = async {
        for _ in 0..3 {
            fixture.deliver((0..100).flat_map(|_| [to("a", 1), to("b", 1), to_all(1)])).await;
        }
        fixture.hub.notify(&Event::Gap { seconds: 1.5 }).await.unwrap();
        fixture.hub.notify(&Event::Gap { seconds: 1.5 }).await.unwrap();
        fixture.deliver([to("a", 2), to("b", 2), to_all(2)]).await;
    };
    let resume = async { fixture.stall(0, false) };
    tokio::join!(deliver, resume);
    for client in &mut clients {
        let frames = client.frames().await;
        let (before, after) = (&frames[2..902], &frames[904..]);
        assert!(before.iter().all(|frame| frame.number() == Some(1)));
        assert_eq!(frames[902..904], [gap(), gap()]);
        assert_eq!(after.len(), 3);
        for frame in [message("a", 2), message("b", 2), broadcast(2)] {
            assert!(after.contains(&frame));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_has_yielded_is_not_overtaken() {
    let fixture = Fixture::start();
    let _first = fixture.subscribers(400, "a").await;
    let mut last = fixture.subscribers(5, "b").await;
    settle().await;
    fixture.stall(0, true);
    fixture.hub.notify(&Event::Gap { seconds: 1.5 }).await.unwrap();
    fixture.turn().await;
    fixture.deliver([to("b", 1)]).await;
    fixture.stall(0, false);
    for client in &mut last {
        assert_eq!(client.frames().await, [text("joined b"), gap(), message("b", 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn only_dialects_with_a_form_for_it_are_told() {
    let fixture = Fixture::start();
    let mut plain = fixture.connect(Dialect::Plain).await;
    let mut json = fixture.connect(Dialect::Json).await;
    fixture.hub.notify(&Event::Gap { seconds: 1.5 }).await.unwrap();
    assert_eq!(json.frames().await, [gap()]);
    assert_eq!(plain.frames().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_notice_without_connections_holds_up_nothing() {
    let fixture = Fixture::start();
    fixture.hub.notify(&Event::Gap { seconds: 1.5 }).await.unwrap();
    settle().await;
    let mut late = fixture.connect(Dialect::Json).await;
    fixture.deliver([to_all(1)]).await;
    assert_eq!(late.frames().await, [broadcast(1)]);
}
