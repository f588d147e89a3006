//! The pure floor of Segwan: bytes and time in, decisions out.
//!
//! Nothing here opens a socket, reads a file or looks at a clock. What a caller passes in is
//! judged, and the judgement is a value that only the judge can make: [`identity::Peer`] becomes
//! a `Permit` through a policy, a frame becomes `Cleared` bytes through a session.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
// TRAP-20: a panic over a slice of a text shows the text.
#![cfg_attr(not(test), deny(clippy::string_slice))]

pub mod audit;
pub mod contract;
pub mod document;
pub mod finding;
pub mod identity;
pub mod limits;
pub mod now;
pub mod policy;
pub mod rejection;
pub mod session;
