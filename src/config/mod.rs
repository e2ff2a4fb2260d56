//! From one YAML file to immutable settings.
//!
//! [`load()`] parses the text into a tree with positions (`yaml`), reads typed values from that
//! while collecting all errors (`reader`, `values`, `url`, `files`), and checks the parts against
//! each other (`sections`).

mod access;
mod certificates;
mod error;
mod files;
mod fingerprint;
mod identity;
mod load;
pub mod policies;
mod reader;
mod secret;
mod sections;
mod serialize;
pub mod settings;
mod shadowed;
mod show;
mod url;
mod values;
mod warning;
mod yaml;

pub use access::{Access, MAX_FILE_BYTES, OsAccess};
pub use error::{ConfigError, ConfigErrors, Position};
pub use fingerprint::Fingerprint;
pub use load::{Loaded, load};
pub use shadowed::shadowed;
pub use show::show;
pub use warning::{ConfigWarning, WarningCode};
pub(crate) use yaml::as_json as yaml_as_json;

#[cfg(test)]
mod tests;
