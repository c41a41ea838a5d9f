//! What a connection has read and not decoded.

/// Messages behind the last one that was asked for, or the beginning of a frame. Most connections have nothing, and it
/// costs them a pointer.
#[derive(Debug, Default)]
pub(super) struct Kept(Option<Box<Unread>>);

#[derive(Debug)]
struct Unread {
    bytes: Vec<u8>,
    from: usize,
}

impl Kept {
    /// Keeps `bytes` and nothing else.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| Box::new(Unread { bytes: bytes.to_vec(), from: 0 })))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |unread| &mut unread.bytes[unread.from..])
    }

    /// Lets go of all but the last `count` bytes.
    pub(super) fn leave(&mut self, count: usize) {
        match &mut self.0 {
            Some(unread) if count > 0 => unread.from = unread.bytes.len().saturating_sub(count),
            unread => *unread = None,
        }
    }
}
