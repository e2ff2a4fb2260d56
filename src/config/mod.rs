//! From one YAML file to an immutable snapshot of settings.
//!
//! [`load()`] reads the text into a tree with positions (`yaml`), reads that with types while
//! collecting every error (`read`, `values`, `url`, `files`), and checks the parts against each
//! other (`build`).

mod access;
mod build;
mod error;
mod files;
mod fingerprint;
mod identity;
mod load;
pub mod policies;
mod read;
pub mod settings;
mod shadowed;
mod show;
mod suggest;
mod url;
mod values;
mod warning;
mod yaml;

pub use access::{Access, MAX_FILE_BYTES, OsAccess};
pub use error::{ConfigError, ConfigErrors, Position};
pub use fingerprint::Fingerprint;
pub use load::{Loaded, load};
pub use shadowed::{Shadowed, shadowed};
pub use show::show;
pub use warning::{ConfigWarning, WarningCode};

#[cfg(test)]
mod tests;
