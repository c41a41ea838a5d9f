//! From the upgrade to being subscribed.

use super::{Scratch, WebSocket, in_time};
use crate::{
    Error,
    dialect::{Command, Dialect, Event},
    speech::Speech,
    template::{Step, Template, fill},
};
use std::sync::Arc;

impl WebSocket {
    /// Subscribes to `channel` and waits for the answer, which tells nothing where a template is spoken. Messages that
    /// arrive meanwhile are not looked at.
    pub async fn subscribe(&mut self, scratch: &Scratch, channel: &str) -> Result<Event, Error> {
        let (address, speech) = (self.address, Arc::clone(&self.speech));
        match &*speech {
            Speech::Native(dialect) => in_time(address, self.ask(scratch, *dialect, channel)).await,
            Speech::Foreign(template) => {
                in_time(address, self.carry_out(scratch, template, channel)).await.map(|()| Event::default())
            }
        }
    }

    async fn ask(&mut self, scratch: &Scratch, dialect: Dialect, channel: &str) -> Result<Event, Error> {
        let subscribe = Command { kind: "subscribe", id: Some(0), channel: Some(channel), ..Command::default() };
        self.command(dialect, &subscribe);
        let address = self.address;
        loop {
            let mut answer = None;
            let read = self.read(scratch, |frame| {
                let event = dialect.decode(frame.payload).filter(|event| event.id == Some(0));
                answer = answer.take().or(event);
            });
            read.await.map_err(|ended| Error::Early { address, ended })?;
            match answer {
                Some(event) if event.kind == "ok" => return Ok(event),
                Some(event) => {
                    return Err(Error::Refused {
                        channel: channel.to_owned(),
                        code: event.code.unwrap_or(event.kind),
                        message: event.message.unwrap_or_default(),
                    });
                }
                None => {}
            }
        }
    }

    async fn carry_out(&mut self, scratch: &Scratch, template: &Template, channel: &str) -> Result<(), Error> {
        let (address, mut steps) = (self.address, template.open.iter().peekable());
        loop {
            while let Some(Step::Send(text)) = steps.next_if(|step| matches!(step, Step::Send(_))) {
                self.text(&fill(text, channel, ""));
            }
            if steps.peek().is_none() {
                return Ok(());
            }
            let read = self.read(scratch, |frame| {
                steps.next_if(|step| matches!(step, Step::Wait(text) if contains(frame.payload, text)));
            });
            read.await.map_err(|ended| Error::Early { address, ended })?;
        }
    }
}

fn contains(payload: &[u8], text: &str) -> bool {
    text.is_empty() || payload.windows(text.len()).any(|window| window == text.as_bytes())
}
