//! Whether a MessagePack value has a form in every dialect.

use super::reader::{Fault, Item, Reader};
use crate::{InvalidContent, content::MAX_DEPTH, json::too_deep};

impl From<Fault> for InvalidContent {
    fn from(Fault { problem, at }: Fault) -> Self {
        Self::MessagePack { problem, at }
    }
}

/// What is in `bytes`, if they hold one binary and nothing else.
pub(crate) fn wholly_binary(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    match (reader.item(), reader.end()) {
        (Ok(Item::Binary(binary)), Ok(())) => Some(binary),
        _ => None,
    }
}

/// Checks what [`crate::Content::message_pack`] promises of everything that isn't wholly binary.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let mut reader = Reader::new(bytes);
    let mut open = Vec::new();
    loop {
        let at = reader.at();
        let item = reader.item()?;
        let is_key = open.last_mut().is_some_and(Container::enter_item);
        check_item(&item, is_key).map_err(|problem| Fault::new(at, problem))?;
        if let Item::Array(_) | Item::Map(_) = item {
            if open.len() == MAX_DEPTH {
                return Err(Fault::new(at, too_deep()));
            }
            open.push(Container { left: item.children(), is_map: matches!(item, Item::Map(_)) });
        }
        while open.pop_if(|container| container.left == 0).is_some() {}
        if open.is_empty() {
            return reader.end();
        }
    }
}

/// An array or map of which items are still to come. Those open at one time are at most [`MAX_DEPTH`].
struct Container {
    left: u64,
    is_map: bool,
}

impl Container {
    /// Counts an item that is about to be judged; whether it is a key.
    fn enter_item(&mut self) -> bool {
        let is_key = self.is_map && self.left.is_multiple_of(2);
        self.left -= 1;
        is_key
    }
}

fn check_item(item: &Item<'_>, is_key: bool) -> Result<(), String> {
    match item {
        Item::Text(bytes) if str::from_utf8(bytes).is_err() => Err("a string that is not UTF-8".to_owned()),
        Item::Text(_) => Ok(()),
        other if is_key => Err(other.instead_of("a string as a map's key")),
        Item::Float(number) if !number.is_finite() => Err(format!("{number}, which JSON can't express,")),
        Item::Binary(_) => Err("binary inside of other content, which JSON can't express,".to_owned()),
        Item::Extension => Err("an extension type, which JSON can't express,".to_owned()),
        _ => Ok(()),
    }
}
