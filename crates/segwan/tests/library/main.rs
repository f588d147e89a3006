//! The library as a program uses it, from outside.

mod certificates;
mod channel;
mod examples;
