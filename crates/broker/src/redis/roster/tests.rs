#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use fanwire_protocol::{Content, UserId};
use proptest::prelude::*;
use std::sync::Arc;

fn id(node: u64, sequence: u64) -> ConnectionId {
    ConnectionId(NodeId::from_random(node), sequence)
}

fn member(connection: ConnectionId, user: Option<&str>, info: Option<&str>) -> Member {
    let user = user.map(|user| UserId::parse(user).unwrap());
    Member { connection, user, info: info.map(Content::string) }
}

fn room() -> ChannelName {
    ChannelName::parse("room").unwrap()
}

fn bytes(reply: &[u8]) -> Value {
    Value::BulkString(reply.to_vec())
}

#[test]
fn what_stands_at_redis_is_pinned() {
    let written = written(&member(id(5, 6), Some("zoe"), None)).unwrap();
    assert_eq!(&written[..20], b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\x03zoe");
    assert_eq!(Mark { generation: 12, told: true }.written(), "12:1");
    assert_eq!(Mark::read("3:0"), Some(Mark { generation: 3, told: false }));
    assert_eq!(Mark::read("3"), None);
}

#[test]
fn a_call_names_all_its_keys_and_no_other() {
    let (names, teller) = (Names::new("fanwire", 0), Teller { node: NodeId::from_random(5), at: 1 });
    let changes = vec![Change::Enter(Arc::new(member(id(5, 6), None, None))), Change::Leave(id(5, 7))];
    let changes = Changes { channel: room(), changes, told: true, at: 1 };
    let Doing::Telling(_, arguments) = teller.change(&names, &changes, 2).unwrap() else { panic!("no script") };
    let texts: Vec<_> = arguments.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let tag = format!("fanwire:{{{}}}", Partition::of(&room()));
    assert_eq!(texts[..4], ["3".to_owned(), format!("{tag}:p:room"), format!("{tag}:u:room"), format!("{tag}:n:5")]);
    assert_eq!((&*texts[4], &*texts[6], &*texts[7], &*texts[8]), (&*format!("{tag}:c:room"), "1", "room", "2:1"));
    assert_eq!((&*texts[10], &*texts[12], arguments.len()), ("enter", "leave", 14));
}

#[test]
fn a_page_skips_what_it_cannot_read() {
    let roll = Roll { channel: room(), after: None, limit: 2 };
    let item = |sequence| bytes(&written(&member(id(5, sequence), None, Some("x"))).unwrap());
    let (page, unreadable) = members(Value::Array(vec![item(1), bytes(b"?"), item(3)]), &roll).unwrap();
    assert_eq!((page.members, page.more, unreadable), (vec![member(id(5, 1), None, Some("x"))], true, 1));
    let (page, unreadable) = members(Value::Array(vec![item(1), item(2)]), &roll).unwrap();
    assert_eq!((page.members.len(), page.more, unreadable), (2, false, 0));
    assert_eq!(members(Value::Nil, &roll), None);
}

#[test]
fn answers_are_read() {
    let answer = |numbers: &[i64]| Value::Array(numbers.iter().map(|number| Value::Int(*number)).collect());
    assert_eq!(changed(&answer(&[1, 2, 3])), Some(Changed { joined: 1, left: 2, returned: 3 }));
    assert_eq!(counted(&answer(&[9, 4])), Some(Counts { connections: 9, users: 4 }));
    assert_eq!(removed(&answer(&[128, 1])), Some((128, true)));
    for wrong in [answer(&[1]), answer(&[1, -1]), Value::Nil] {
        assert_eq!((removed(&wrong), counted(&wrong), changed(&wrong)), (None, None, None));
    }
    let marks =
        marks(Value::Array(["room", "1:1", "bad name", "1:1", "a", "?"].map(|text| bytes(text.as_bytes())).into()));
    assert_eq!(marks, Some(vec![(room(), Mark { generation: 1, told: true })]));
}

proptest! {
    #[test]
    fn members_are_read_as_written_and_in_the_order_of_connections(
        a in (0..NodeId::LIMIT, any::<u64>()),
        b in (0..NodeId::LIMIT, any::<u64>()),
        user in prop::option::of("[ -~é]{1,64}"),
        info in prop::option::of("\\PC{0,40}"),
    ) {
        let (a, b) = (id(a.0, a.1), id(b.0, b.1));
        let one = member(a, user.as_deref(), info.as_deref());
        let (first, second) = (written(&one).unwrap(), written(&member(b, None, None)).unwrap());
        prop_assert_eq!(read(&first, &room()).unwrap(), one);
        prop_assert!(a == b || (a < b) == (first < second));
    }

    #[test]
    fn what_anyone_writes_there_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = read(&bytes, &room());
    }
}
