//! A socket that takes everything and notes which bytes came in one write.

use fanwire_hub::Transport;
use futures_util::future::{BoxFuture, ready};
use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex},
};

/// The writes, each a list of the frames that it carried.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Vec<Vec<u8>>>>);

impl Recorder {
    /// The writes since the last call.
    pub(crate) fn writes(&self) -> Vec<Vec<Vec<u8>>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Transport for Recorder {
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.lock().unwrap().push(buffers.iter().map(|buffer| buffer.to_vec()).collect());
        Ok(buffers.iter().map(|buffer| buffer.len()).sum())
    }

    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }

    fn finish(&self) {}

    fn abort(&self) {}
}
