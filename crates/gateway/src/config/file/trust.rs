//! `[trust]` as written: how careful this node is where it knows less than it should.

use super::values;
use segwan::{Caution, StaleCrl, WhenUnreachable};
use segwan_core::document::Table;

/// Reads the table; without it, what was believed is kept in both cases.
pub(super) fn trust(table: &Table<'_, '_>) -> Option<Caution> {
    let stale_crl = [("keep", StaleCrl::Keep), ("refuse", StaleCrl::Refuse)];
    let stale_crl = values::choice(table, "stale_crl", &stale_crl);
    let unreachable = [("keep", WhenUnreachable::Keep), ("refuse_new", WhenUnreachable::RefuseNew)];
    let when_unreachable = values::choice(table, "when_unreachable", &unreachable);
    Some(Caution { stale_crl: stale_crl?, when_unreachable: when_unreachable? })
}
