//! Web interfaces and the libraries of clients, which ask for more than data: what they ask first is
//! answered, and their pages work for a tenant.

mod browser;
mod first_requests;
mod programs;
mod search;
