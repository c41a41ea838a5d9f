//! Files with secrets, which leave nothing behind in memory.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// What `file` holds.
///
/// # Errors
///
/// If it can't be read, or has more than `longest` bytes.
pub fn read(file: &Path, longest: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // Large enough from the start, for one that grows leaves its old place as it is.
    let mut bytes = Zeroizing::new(Vec::with_capacity(longest + 1));
    File::open(file)?.take(longest as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > longest {
        return Err(io::Error::other(format!("it has more than {longest} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let file = std::env::temp_dir().join(format!("fanwire-{}-secret", std::process::id()));
        std::fs::write(&file, b"hunter2").unwrap();
        assert_eq!(*read(&file, 7).unwrap(), b"hunter2");
        assert_eq!(read(&file, 6).unwrap_err().to_string(), "it has more than 6 bytes");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read(&file, 7).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
