//! `Metrics`: numbers for Prometheus, from the same events as the audit log.
//!
//! Label values come from closed sets alone: names of the configuration, words of the code. What
//! a peer says is never one, so no peer can add a series (`trust.md` 10.2).

mod authority;

pub use authority::AuthorityNumbers;

use crate::alarms::{Raised, WORDS};
use crate::gateway::GateStatus;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use segwan::agent::AgentStatus;
use segwan_core::audit::{Event, EventKind, Totals};
use segwan_core::rejection::{Class, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// What [`Metrics::render`] writes: OpenMetrics, which Prometheus reads.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The name under which a service is counted that the configuration does not know.
const OTHER: &str = "other";

/// Labels of one series: names and values.
type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// How things stand when the numbers are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing<'a> {
    /// Every listener.
    pub gates: &'a [GateStatus],
    /// Identities that are kept fresh here.
    pub identities: &'a [AgentStatus],
    /// The Authority, where one runs and its store answers.
    pub authority: Option<&'a AuthorityNumbers>,
    /// What is raised.
    pub alarms: &'a [Raised],
}

/// All counters of a process.
#[derive(Debug, Default)]
pub struct Metrics {
    services: BTreeSet<String>,
    registry: Registry,
    ended: Counters,
    refused: Counters,
    messages: Counters,
    messages_refused: Counters,
    messages_tried: Counters,
    shadow_lost: Counters,
    bytes: Counters,
    events: Counters,
    alarms: Counter,
    enrollments: Counters,
    renewals: Counters,
    /// Connections and messages turned away, by service and reason.
    turned_away: Mutex<BTreeMap<(String, Reason), u64>>,
}

impl Metrics {
    /// Counters of a process with these service and client tables; what happens under any other
    /// name is counted as `other`.
    #[must_use]
    pub fn for_services(names: impl IntoIterator<Item = String>) -> Self {
        let mut metrics = Self { services: names.into_iter().collect(), ..Self::default() };
        let mut counts = |name: &str, help: &str, family: &Counters| {
            metrics.registry.register(name, help, family.clone());
        };
        counts(
            "segwan_connections_ended",
            "Admitted connections that ended, by service and reason",
            &metrics.ended,
        );
        counts(
            "segwan_connections_refused",
            "Connections turned away before they were admitted, by service and reason",
            &metrics.refused,
        );
        counts(
            "segwan_messages",
            "Messages let through, by service and who said them, counted when their connection \
             ends",
            &metrics.messages,
        );
        counts(
            "segwan_messages_refused",
            "Messages turned away, by service, who said them, class and reason",
            &metrics.messages_refused,
        );
        counts(
            "segwan_messages_would_refuse",
            "Messages that a contract in shadow mode would turn away, by service, \
             who said them, class and reason",
            &metrics.messages_tried,
        );
        counts(
            "segwan_shadow_lost",
            "Directions of connections that a contract in shadow mode looks at no more, by service",
            &metrics.shadow_lost,
        );
        counts(
            "segwan_bytes",
            "Plain bytes let through, by service and who said them, counted when their \
             connection ends",
            &metrics.bytes,
        );
        counts("segwan_audit_events", "Events of the audit log, by kind", &metrics.events);
        counts(
            "segwan_enrollments",
            "Enrollments that the Authority here was asked for, by outcome",
            &metrics.enrollments,
        );
        counts(
            "segwan_renewals",
            "Renewals that the Authority here was asked for, by outcome",
            &metrics.renewals,
        );
        metrics.registry.register(
            "segwan_alarms",
            "Things that an operator has to look at",
            metrics.alarms.clone(),
        );
        metrics
    }

    /// Counts one event.
    pub fn observe(&self, event: &Event) {
        let service = self.service(&event.service);
        let reason = event.reason.map_or("", Reason::as_str);
        let by_reason = || vec![("service", service.to_owned()), ("reason", reason.to_owned())];
        self.events.get_or_create(&vec![("event", event.event.as_str().to_owned())]).inc();
        if event.alarm {
            self.alarms.inc();
        }
        match event.event {
            EventKind::Closed => {
                self.ended.get_or_create(&by_reason()).inc();
                self.add(service, event.totals.unwrap_or_default());
            }
            EventKind::Refused => {
                self.refused.get_or_create(&by_reason()).inc();
                self.turn_away(service, event.reason);
            }
            EventKind::Rejected => {
                self.messages_refused.get_or_create(&by_message(service, event)).inc();
                self.turn_away(service, event.reason);
            }
            EventKind::WouldReject => {
                let mut labels = by_message(service, event);
                labels.push(("mode", "shadow".to_owned()));
                self.messages_tried.get_or_create(&labels).inc_by(event.count.unwrap_or(1));
            }
            EventKind::ShadowLost => {
                let labels = vec![("service", service.to_owned())];
                self.shadow_lost.get_or_create(&labels).inc_by(event.count.unwrap_or(1));
            }
            EventKind::Alarm => drop(self.alarms.inc()),
            EventKind::Started
            | EventKind::Stopped
            | EventKind::Cleared
            | EventKind::Reloaded
            | EventKind::ReloadRefused
            | EventKind::Admin => {}
        }
    }

    /// Counts an enrollment; the outcome is a word of the code.
    pub fn enrolled(&self, outcome: &'static str) {
        self.enrollments.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
    }

    /// Counts a renewal; the outcome is a word of the code.
    pub fn renewed(&self, outcome: &'static str) {
        self.renewals.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
    }

    /// Connections and messages of a service that were turned away since the start, by reason.
    #[must_use]
    pub fn refused(&self, service: &str) -> BTreeMap<String, u64> {
        let turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        let of_service = turned_away.iter().filter(|((name, _), _)| name == service);
        of_service.map(|((_, reason), count)| (reason.as_str().to_owned(), *count)).collect()
    }

    /// Everything in OpenMetrics text: the counters, and gauges of how things stand now.
    #[must_use]
    pub fn render(&self, standing: Standing<'_>) -> String {
        let Standing { gates, identities, authority, alarms } = standing;
        let mut registry = Registry::default();
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("segwan_build", "The binary", build);
        let (connections, handshakes, accepted) =
            (Gauges::default(), Gauges::default(), Counters::default());
        for gate in gates {
            let labels = vec![("service", gate.name.clone())];
            connections.get_or_create(&labels).set(size(gate.counts.connections));
            handshakes.get_or_create(&labels).set(size(gate.counts.handshakes));
            accepted.get_or_create(&labels).inc_by(gate.counts.accepted);
        }
        registry.register("segwan_connections", "Connections at work, by service", connections);
        registry.register("segwan_handshakes", "Handshakes in progress, by service", handshakes);
        registry.register(
            "segwan_connections_accepted",
            "Connections accepted, by service",
            accepted,
        );
        let expires = Gauges::default();
        for status in identities {
            let labels = vec![("identity", status.identity.to_string())];
            expires.get_or_create(&labels).set(status.not_after_ms.div_euclid(1000));
        }
        registry.register(
            "segwan_certificate_expires_timestamp_seconds",
            "When the certificate of an identity of this process ends, Unix seconds",
            expires,
        );
        let streams = Gauges::default();
        for status in identities {
            let labels = vec![("identity", status.identity.to_string())];
            let is_open = status.following.stream_since_ms.is_some();
            streams.get_or_create(&labels).set(i64::from(is_open));
        }
        registry.register(
            "segwan_authority_stream_up",
            "1 while an identity of this process hears the events of its Authority",
            streams,
        );
        let raised = Gauges::default();
        for word in WORDS {
            raised.get_or_create(&vec![("alarm", word.to_owned())]).set(0);
        }
        for one in alarms {
            raised.get_or_create(&vec![("alarm", one.alarm.clone())]).set(1);
        }
        registry.register("segwan_alarm", "1 while the alarm is raised", raised);
        let reloaded: Gauge = Gauge::default();
        reloaded.set(i64::from(!alarms.iter().any(|one| one.alarm == "reload_refused")));
        registry.register(
            "segwan_reload_last_success",
            "0 while what is written is not in force, because the last reload was refused",
            reloaded,
        );
        if let Some(authority) = authority {
            authority.register(&mut registry);
        }
        let mut page = String::new();
        // Writing to a String does not fail.
        let _ = text::encode_registry(&mut page, &self.registry);
        let _ = text::encode(&mut page, &registry);
        page
    }

    fn service<'a>(&self, name: &'a str) -> &'a str {
        if self.services.contains(name) { name } else { OTHER }
    }

    fn add(&self, service: &str, totals: Totals) {
        let labels =
            |side: &str| vec![("service", service.to_owned()), ("direction", side.to_owned())];
        let (client, server) = (labels("client"), labels("server"));
        self.messages.get_or_create(&client).inc_by(totals.messages_to_server);
        self.messages.get_or_create(&server).inc_by(totals.messages_to_client);
        self.bytes.get_or_create(&client).inc_by(totals.bytes_to_server);
        self.bytes.get_or_create(&server).inc_by(totals.bytes_to_client);
    }

    fn turn_away(&self, service: &str, reason: Option<Reason>) {
        let Some(reason) = reason else { return };
        let mut turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        *turned_away.entry((service.to_owned(), reason)).or_default() += 1;
    }
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn by_message(service: &str, event: &Event) -> Labels {
    vec![
        ("service", service.to_owned()),
        ("direction", event.direction.unwrap_or_default().to_owned()),
        ("class", event.class.map_or("", Class::as_str).to_owned()),
        ("reason", event.reason.map_or("", Reason::as_str).to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Counts;

    fn metrics() -> Metrics {
        Metrics::for_services(["orders".to_owned(), "stock".to_owned()])
    }

    fn event(kind: EventKind, service: &str, reason: Reason) -> Event {
        let mut event = Event::new(kind);
        event.service = service.to_owned();
        event.reason = Some(reason);
        event
    }

    fn series(metrics: &Metrics) -> usize {
        metrics.render(Standing::default()).lines().filter(|line| !line.starts_with('#')).count()
    }

    // ADV-37
    #[test]
    fn names_that_nobody_configured_add_no_series() {
        let metrics = metrics();
        for kind in [EventKind::Refused, EventKind::Rejected, EventKind::Closed] {
            metrics.observe(&event(kind, "anything", Reason::TlsError));
        }
        let before = series(&metrics);
        for number in 0..100_000 {
            let kind = match number % 3 {
                0 => EventKind::Refused,
                1 => EventKind::Rejected,
                _ => EventKind::Closed,
            };
            let mut event = event(kind, &format!("service-{number}"), Reason::TlsError);
            event.peer = Some(format!("spiffe://td/{number}"));
            event.message = Some(format!("message-{number}"));
            event.action = Some(format!("action-{number}"));
            event.address = Some(format!("192.0.2.{number}"));
            metrics.observe(&event);
        }
        assert_eq!(series(&metrics), before);
        assert_eq!(metrics.refused("service-7"), BTreeMap::new());
        assert_eq!(metrics.refused("other")["tls_error"], 66_669);
    }

    #[test]
    fn what_happened_is_counted_under_its_words() {
        let metrics = metrics();
        metrics.observe(&event(EventKind::Refused, "orders", Reason::UnknownIssuer));
        let mut rejected = event(EventKind::Rejected, "orders", Reason::Grammar);
        rejected.class = Some(Class::Invalid);
        rejected.direction = Some("client");
        metrics.observe(&rejected);
        metrics.observe(&rejected);
        let tried = Event { event: EventKind::WouldReject, ..rejected };
        metrics.observe(&tried);
        metrics.observe(&Event { count: Some(90), ..tried });
        metrics
            .observe(&Event { service: "orders".to_owned(), ..Event::new(EventKind::ShadowLost) });
        let mut closed = event(EventKind::Closed, "stock", Reason::Closed);
        closed.totals = Some(Totals {
            bytes_to_server: 20,
            messages_to_server: 2,
            bytes_to_client: 6,
            messages_to_client: 1,
            ..Totals::default()
        });
        metrics.observe(&closed);
        metrics.observe(&Event::new(EventKind::Alarm));
        metrics.observe(&Event {
            alarm: true,
            ..event(EventKind::Rejected, "stock", Reason::Unasked)
        });

        let page = metrics.render(Standing::default());
        for line in [
            "segwan_connections_refused_total{service=\"orders\",reason=\"unknown_issuer\"} 1",
            "segwan_messages_refused_total{service=\"orders\",direction=\"client\",\
             class=\"invalid\",reason=\"grammar\"} 2",
            "segwan_messages_would_refuse_total{service=\"orders\",direction=\"client\",\
             class=\"invalid\",reason=\"grammar\",mode=\"shadow\"} 91",
            "segwan_shadow_lost_total{service=\"orders\"} 1",
            "segwan_connections_ended_total{service=\"stock\",reason=\"closed\"} 1",
            "segwan_messages_total{service=\"stock\",direction=\"client\"} 2",
            "segwan_messages_total{service=\"stock\",direction=\"server\"} 1",
            "segwan_bytes_total{service=\"stock\",direction=\"client\"} 20",
            "segwan_bytes_total{service=\"stock\",direction=\"server\"} 6",
            "segwan_audit_events_total{event=\"rejected\"} 3",
            "segwan_alarms_total 2",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
        let refused = metrics.refused("orders");
        assert_eq!((refused["unknown_issuer"], refused["grammar"], refused.len()), (1, 2, 2));
    }

    #[test]
    fn a_page_shows_how_things_stand_and_ends_once() {
        let counts = Counts { accepted: 9, handshakes: 1, connections: 2, ..Counts::default() };
        let gate = GateStatus::of_numbers("orders", counts);
        let agent = AgentStatus {
            identity: "spiffe://shop.example/orders".parse().unwrap(),
            not_after_ms: 1_900_000_000_999,
            renew_at_ms: 0,
            failures: 0,
            last_error: None,
            following: segwan::agent::Following::default(),
            alarms: Vec::new(),
        };
        let page = metrics().render(Standing {
            gates: &[gate],
            identities: &[agent],
            authority: Some(&AuthorityNumbers { root_key_online: true, ..Default::default() }),
            alarms: &[],
        });
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            &format!("segwan_build_info{{version=\"{version}\"}} 1"),
            "segwan_connections{service=\"orders\"} 2",
            "segwan_handshakes{service=\"orders\"} 1",
            "segwan_connections_accepted_total{service=\"orders\"} 9",
            "segwan_certificate_expires_timestamp_seconds\
             {identity=\"spiffe://shop.example/orders\"} 1900000000",
            "segwan_root_key_online 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
        assert!(page.ends_with("# EOF\n") && page.matches("# EOF").count() == 1, "{page}");
    }
}
