//! The gateway behind the binary `segwan`: it listens, relays, records and shows.

pub mod admin;
pub mod alarms;
pub mod audit;
pub mod ca;
pub mod capture;
pub mod check;
pub mod cli;
pub mod config;
pub mod explain;
pub mod failure;
pub mod gateway;
mod http;
pub mod metrics;
pub mod process;
pub mod quotas;
pub mod record;
pub mod registering;
pub mod status;
