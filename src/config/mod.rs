//! From one YAML file to an immutable snapshot of settings.

pub mod settings;
