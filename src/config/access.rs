//! What loading a config has access to: files and environment variables.

use std::env::VarError;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest file that is read, the config itself or one that it names: 1 MiB.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Files and variables, as a trait so that tests can provide their own.
pub trait Access {
    /// The complete content of a file, at most [`MAX_FILE_BYTES`].
    ///
    /// # Errors
    /// When it cannot be read, is longer, or is not a regular file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The value of an environment variable.
    ///
    /// # Errors
    /// When it is not set or not UTF-8.
    fn variable(&self, name: &str) -> Result<String, VarError>;
}

/// The process's own files and environment.
#[derive(Clone, Copy, Debug)]
pub struct OsAccess;

impl Access for OsAccess {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Opening a pipe would wait for its writer, and a second read would find it empty.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let mut content = Vec::new();
        let limit = MAX_FILE_BYTES as u64;
        File::open(path)?
            .take(limit + 1)
            .read_to_end(&mut content)?;
        if content.len() > MAX_FILE_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "longer than 1 MiB",
            ));
        }
        Ok(content)
    }

    fn variable(&self, name: &str) -> Result<String, VarError> {
        std::env::var(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'x'; MAX_FILE_BYTES]).unwrap();
        assert_eq!(OsAccess.read(&path).unwrap().len(), MAX_FILE_BYTES);
        std::fs::write(&path, vec![b'x'; MAX_FILE_BYTES + 1]).unwrap();
        assert_eq!(
            OsAccess.read(&path).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn folder_and_device_are_refused() {
        for path in ["/", "/dev/zero"] {
            let error = OsAccess.read(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
