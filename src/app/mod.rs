//! The process: a config file becomes listeners, an admin endpoint and, at the end, a drain.

pub(crate) mod descriptors;
mod error;
mod process;
pub mod reload;
mod shadow;
mod state;

pub use self::error::AppError;
pub use self::process::run;
pub use self::state::App;
