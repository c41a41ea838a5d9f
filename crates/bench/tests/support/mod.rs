//! A WebSocket server just good enough to be measured, with faults on demand.

use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What the server does wrong with the third publication, towards its first subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Lose,
    Double,
    /// Sends it after the fourth.
    Delay,
    /// Sets a reserved bit.
    Break,
    /// Closes the connection with 1013.
    Close,
    /// Keeps nothing for those who come back.
    Forget,
    /// Keeps all but the last publication for those who come back.
    LoseMissed,
}

const FAULTY: usize = 2;

/// How many were published, to whom they go, what is held back, and all that was published.
type Subscribers = Arc<Mutex<(usize, Vec<TcpStream>, Vec<u8>, Vec<Vec<u8>>)>>;

/// Starts a server on a free port; it lasts as long as the process.
pub(crate) fn serve(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let subscribers = Subscribers::default();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let subscribers = subscribers.clone();
            thread::spawn(move || converse(stream.unwrap(), &subscribers, fault));
        }
    });
    address
}

/// Until the client goes: `None` then.
fn converse(mut stream: TcpStream, subscribers: &Subscribers, fault: Fault) -> Option<()> {
    stream.set_nodelay(true).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(read::<1>(&mut stream)?[0]);
    }
    // The answer to the key of the RFC's example, which is the one that the load generator sends.
    stream
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n\r\n",
        )
        .ok()?;
    stream.write_all(&frame(r#"{"type":"welcome"}"#)).ok()?;
    stream.write_all(b"\x89\x02hi").ok()?;
    loop {
        let payload = read_frame(&mut stream)?;
        let Ok(command) = serde_json::from_slice::<Value>(&payload) else {
            assert_eq!(payload, b"hi", "only commands and the pong are expected");
            continue;
        };
        let mut subscribers = subscribers.lock().unwrap();
        match command["type"].as_str() {
            Some("subscribe") => {
                subscribers.1.push(stream.try_clone().unwrap());
                stream.write_all(&answer(&command, fault, &subscribers.3)).ok()?;
            }
            _ => {
                let (number, streams, held, history) = &mut *subscribers;
                history.push(message(&command, *number));
                publish(streams, &history[*number], fault, *number, held);
                *number += 1;
                if !command["id"].is_null() {
                    stream.write_all(&frame(&format!(r#"{{"type":"ok","id":{}}}"#, command["id"]))).ok()?;
                }
            }
        }
    }
}

/// The answer to a subscription, and what was missed.
fn answer(command: &Value, fault: Fault, history: &[Vec<u8>]) -> Vec<u8> {
    let (id, newest) = (&command["id"], history.len());
    match command["recover"]["offset"].as_u64() {
        Some(offset) if fault != Fault::Forget => {
            let offset = usize::try_from(offset).unwrap();
            let ok = format!(
                r#"{{"type":"ok","id":{id},"epoch":"e","offset":{offset},"recovered":true,"newest":{newest}}}"#
            );
            let kept = newest - usize::from(fault == Fault::LoseMissed && newest > offset);
            let lost = frame(&format!(r#"{{"type":"lost","channel":"x","epoch":"e","offset":{newest}}}"#));
            let end = if kept < newest { lost } else { Vec::new() };
            [frame(&ok), history[offset..kept].concat(), end].concat()
        }
        recover => {
            let recovered = if recover.is_some() { r#","recovered":false"# } else { "" };
            frame(&format!(r#"{{"type":"ok","id":{id},"epoch":"e","offset":{newest}{recovered}}}"#))
        }
    }
}

fn message(command: &Value, number: usize) -> Vec<u8> {
    let (offset, content) = (number + 1, &command["content"]);
    frame(&format!(r#"{{"type":"message","channel":"x","offset":{offset},"content":{content}}}"#))
}

fn publish(streams: &mut [TcpStream], message: &Vec<u8>, fault: Fault, number: usize, held: &mut Vec<u8>) {
    for (index, stream) in streams.iter_mut().enumerate() {
        let bytes = match fault {
            _ if index > 0 || number < FAULTY => message.clone(),
            Fault::Lose if number == FAULTY => Vec::new(),
            Fault::Double if number == FAULTY => message.repeat(2),
            Fault::Delay if number == FAULTY => {
                held.clone_from(message);
                Vec::new()
            }
            Fault::Delay => [&message[..], &std::mem::take(held)].concat(),
            Fault::Break if number == FAULTY => vec![0xc1, 0],
            Fault::Close if number == FAULTY => vec![0x88, 2, 0x03, 0xf5],
            _ => message.clone(),
        };
        // One that has gone notices nothing.
        let _ = stream.write_all(&bytes);
    }
}

fn frame(text: &str) -> Vec<u8> {
    fanwire_protocol::frame::frame(fanwire_protocol::frame::Opcode::Text, text.as_bytes()).to_vec()
}

fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let [_, length] = read::<2>(stream)?;
    assert_eq!(length & 0x80, 0x80, "a client masks");
    let length = match length & 0x7f {
        126 => usize::from(u16::from_be_bytes(read(stream)?)),
        length => usize::from(length),
    };
    let key = read::<4>(stream)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Some(payload)
}
