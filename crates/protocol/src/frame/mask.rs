//! The mask of a frame from a client (RFC 6455, section 5.3).

/// What a payload is combined with, turned so that it fits the next byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Takes itself off the next `bytes` of the payload.
    pub(super) fn remove(&mut self, bytes: &mut [u8]) {
        let length = bytes.len();
        let (chunks, rest) = bytes.as_chunks_mut::<16>();
        let wide = u128::from(u32::from_ne_bytes(self.0)) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
        for chunk in chunks {
            *chunk = (u128::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
        self.0.rotate_left(length % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_may_be_cut_anywhere() {
        let plain: Vec<u8> = (0..100).collect();
        let key = [0x12, 0x34, 0x56, 0x78];
        let masked: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for cut in 0..=plain.len() {
            let (mut mask, mut bytes) = (Mask::new(key), masked.clone());
            let (first, second) = bytes.split_at_mut(cut);
            mask.remove(first);
            mask.remove(second);
            assert_eq!(bytes, plain, "cut at {cut}");
        }
    }
}
