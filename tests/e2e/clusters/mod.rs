//! Several clusters behind one proxy: chosen by path, by host or by name, and attacked.

mod hostile;
mod named;
mod private_stores;
mod routing;
