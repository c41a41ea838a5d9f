//! Who comes and goes while a fan-out has yielded.

use crate::support::{Client, Fixture, message, settle, text, to};

/// More than two turns' worth.
const SUBSCRIBERS: usize = 400;

/// A hub whose shard has stopped in the middle of the fan-out of publication 1 to channel `a`.
async fn half_way() -> (Fixture, Vec<Client>) {
    let fixture = Fixture::start();
    let mut clients = fixture.subscribers(SUBSCRIBERS, "a").await;
    for client in &mut clients {
        assert_eq!(client.frame().await, text("joined a"));
    }
    fixture.stall(0, true);
    fixture.deliver([to("a", 1)]).await;
    fixture.turn().await;
    (fixture, clients)
}

/// Whether the client was served before it did anything else.
async fn was_served(client: &mut Client) -> bool {
    client.read_some(1 << 16).await == [message("a", 1)]
}

#[tokio::test(start_paused = true)]
async fn leaves_skip_nobody_and_serve_nobody_twice() {
    let (fixture, mut clients) = half_way().await;
    let mut served = Vec::new();
    for (index, client) in clients.iter_mut().enumerate() {
        served.push(was_served(client).await);
        if index % 4 == 0 {
            client.leave("a").await;
        }
    }
    let count = served.iter().filter(|served| **served).count();
    assert!((1..SUBSCRIBERS).contains(&count), "the fan-out is half way, {count} were served");

    fixture.stall(0, false);
    settle().await;
    fixture.deliver([to("a", 2)]).await;
    for (index, (client, served)) in clients.iter_mut().zip(served).enumerate() {
        let frames = client.frames().await;
        match (index % 4 == 0, served) {
            (true, _) => assert_eq!(frames, [text("left a")]),
            (false, true) => assert_eq!(frames, [message("a", 2)]),
            (false, false) => assert_eq!(frames, [message("a", 1), message("a", 2)]),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn vanishing_skips_nobody_and_serves_nobody_twice() {
    let (fixture, mut clients) = half_way().await;
    let mut kept = Vec::new();
    for (index, mut client) in clients.drain(..).enumerate() {
        let served = was_served(&mut client).await;
        if index % 2 == 0 {
            client.gone().await;
        } else {
            kept.push((client, served));
        }
    }
    fixture.stall(0, false);
    settle().await;
    fixture.deliver([to("a", 2)]).await;
    for (client, served) in &mut kept {
        let expected = if *served { vec![message("a", 2)] } else { vec![message("a", 1), message("a", 2)] };
        assert_eq!(client.frames().await, expected);
    }
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), i64::try_from(kept.len()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_joins_or_comes_back_gets_what_follows_once() {
    let (fixture, mut clients) = half_way().await;
    // Some were served, some would be next.
    let back = 100..150;
    for client in &mut clients[back.clone()] {
        was_served(client).await;
        client.leave("a").await;
        client.join("a").await;
    }
    fixture.stall(0, false);
    let mut new = fixture.subscribers(100, "a").await;
    settle().await;
    fixture.deliver([to("a", 2)]).await;
    for client in &mut new {
        assert_eq!(client.frames().await, [text("joined a"), message("a", 2)]);
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let frames = client.frames().await;
        if back.contains(&index) {
            assert_eq!(frames, [text("left a"), text("joined a"), message("a", 2)]);
        } else {
            assert_eq!(frames, [message("a", 1), message("a", 2)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_fan_out_lets_others_in() {
    let (fixture, clients) = half_way().await;
    let mut newcomer = tokio::spawn({
        let shard = clients[0].shard.clone();
        let (key, answer) = (clients[SUBSCRIBERS - 1].key, text("answer").bytes());
        async move { shard.answer(key, answer).await }
    });
    fixture.turn().await;
    (&mut newcomer).await.unwrap().unwrap();
    let (mut last, mut rest) = (clients, Vec::new());
    rest.extend(last.drain(..SUBSCRIBERS - 1));
    // The answer overtakes the publication that has not come to this connection yet.
    assert_eq!(last[0].read_some(1 << 16).await, [text("answer")]);
    fixture.stall(0, false);
    assert_eq!(last[0].frames().await, [message("a", 1)]);
}
