//! WebSocket frames as a client writes them (RFC 6455, sections 5.2 and 5.3): final and masked.

use fanwire_protocol::frame::Opcode;

/// Appends masked frames with keys that differ from frame to frame.
///
/// The keys are no secret: masks protect proxies from hostile pages, and a load generator is neither.
#[derive(Debug, Clone)]
pub struct Masker {
    state: u32,
}

impl Default for Masker {
    fn default() -> Self {
        Self { state: 0x9e37_79b9 }
    }
}

impl Masker {
    /// Appends the frame with `payload` to `out`.
    pub fn frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        let key = self.next_key();
        out.push(0x80 | opcode as u8);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(length @ 0..=125), _) => out.push(0x80 | length),
            (_, Ok(length)) => {
                out.push(0x80 | 126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&key);
        out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }

    fn next_key(&mut self) -> [u8; 4] {
        // Marsaglia's xorshift: never 0, all other values once.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state.to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(length: usize, header: &[u8]) {
        let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
        let mut out = Vec::new();
        Masker::default().frame(Opcode::Text, &payload, &mut out);
        let (start, rest) = out.split_at(header.len());
        let (key, masked) = rest.split_at(4);
        assert_eq!(start, header);
        assert_ne!(key, [0; 4]);
        let unmasked: Vec<u8> = masked.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        assert_eq!(unmasked, payload);
    }

    #[test]
    fn the_header_grows_with_the_payload() {
        check(0, &[0x81, 0x80]);
        check(125, &[0x81, 0xfd]);
        check(126, &[0x81, 0xfe, 0, 126]);
        check(65_536, &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
