//! What agents hear while they listen, and what they report.

use super::*;

/// An event stream, read line by line.
struct Listening(tokio_rustls::client::TlsStream<TcpStream>, Vec<u8>);

impl Listening {
    async fn to(world: &World, credentials: &Credentials, more: &str) -> Self {
        let mut stream = world.connect(Some(credentials)).await;
        let path = format!("{EVENTS}?instance=i1&kind=gateway&version=0.1.0&host=db1{more}");
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(stream, Vec::new())
    }

    /// The next line; none at the end of the stream.
    async fn next(&mut self) -> Option<EventLine> {
        loop {
            // Chunks are lines here: what is no JSON is framing.
            while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                if let Ok(line) = serde_json::from_slice(&line) {
                    return Some(line);
                }
            }
            match timeout(SOON, self.0.read_buf(&mut self.1)).await.expect("a line in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn an_agent_hears_of_a_revocation_and_its_answer_is_counted() {
    let world = World::new().await;
    let (gateway, victim) = (world.holder_of("orders", 90).await, world.holder(90).await);
    let mut listening = Listening::to(&world, &gateway, "").await;
    assert_eq!(listening.next().await.unwrap().event, AgentEvent::Hello);
    let snapshot = listening.next().await.unwrap();
    assert!(matches!(snapshot.event, AgentEvent::Snapshot { .. }), "{snapshot:?}");
    let revoked = world.revoke("app").await;
    let line = listening.next().await.unwrap();
    assert_eq!((line.seq, line.epoch), (revoked.seq, snapshot.epoch));
    let AgentEvent::Revoked { certificates, crls } = line.event else { panic!("{line:?}") };
    assert_eq!(certificates[0].serial, victim.serial());
    assert!(!crls.is_empty());

    let authority = world.authority.clone();
    let wait = Duration::from_secs(30);
    let waiting = tokio::spawn(async move {
        authority.confirmed(revoked.seq, revoked.committed, wait).await.unwrap()
    });
    let seq = line.seq;
    let ack = format!(r#"{{"instance":"i1","seq":{seq},"bundle_version":1,"closed":3}}"#);
    assert_eq!(world.post(Some(&gateway), ACK, &ack).await.status, 204);
    let confirmation = waiting.await.unwrap();
    assert_eq!((confirmation.live, confirmation.confirmed, confirmation.closed), (1, 1, 3));
    assert!(confirmation.silent.is_empty() && confirmation.took < wait);

    // It goes on where it was, and the second stream of an agent takes the place of the first.
    let epoch = snapshot.epoch;
    let again = format!("&epoch={epoch}&after={seq}");
    let mut second = Listening::to(&world, &gateway, &again).await;
    assert_eq!(second.next().await.unwrap().event, AgentEvent::Hello);
    world.revoke("other").await;
    assert_eq!(world.authority.listening().len(), 1);
    // Nothing was in force of `other`, so the next word is of the agent's own end.
    world.revoke("orders").await;
    let last = second.next().await.unwrap();
    assert!(matches!(last.event, AgentEvent::Revoked { .. }), "{last:?}");
    assert_eq!(second.next().await, None);
    assert_eq!(listening.next().await, None);
    let refused = Listening::to(&world, &gateway, &again).await.next().await;
    assert_eq!(refused, None);
    let answer = world.post(Some(&gateway), ACK, &ack).await;
    assert_eq!(answer.refused(), refusal(403, "revoked"));
    world.end().await;
}

#[tokio::test]
async fn a_stream_outlives_its_connections_bound_and_ends_at_once_with_the_stop() {
    let short = Duration::from_secs(2);
    let world = World::with(Bounds { connection: short, head: short, ..BOUNDS }).await;
    let gateway = world.holder_of("orders", 90).await;
    let mut listening = Listening::to(&world, &gateway, "").await;
    assert_eq!(listening.next().await.unwrap().event, AgentEvent::Hello);
    listening.next().await.unwrap();
    tokio::time::sleep(2 * short).await;
    world.holder(90).await;
    world.revoke("app").await;
    let line = listening.next().await.unwrap();
    assert!(matches!(line.event, AgentEvent::Revoked { .. }), "{line:?}");
    let begun = std::time::Instant::now();
    world.end().await;
    assert_eq!(listening.next().await, None);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_anybody_may_read_is_not_sent_twice() {
    let world = World::new().await;
    let bundle = world.get(None, BUNDLE, "").await;
    assert!(bundle.head.contains("etag: \"1\""), "{}", bundle.head);
    let signed: SignedBundle = serde_json::from_slice(&bundle.body).unwrap();
    let roots = [world.authority.root()];
    let domain = world.authority.trust_domain();
    let read = Bundle::accept(&signed, &roots, domain, (None, &[]), now()).unwrap();
    assert_eq!(read.version, 1);
    for known in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        let headers = format!("if-none-match: {known}\r\n");
        let answer = world.get(None, BUNDLE, &headers).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
    }
    let other = world.get(None, BUNDLE, "if-none-match: \"2\"\r\n").await;
    assert_eq!(other.status, 200);

    let keys = world.authority.issuing_keys().await.unwrap();
    let path = format!("{CRL}{}", keys[0].id);
    let list = world.get(None, &path, "").await;
    assert!(list.head.contains("content-type: application/pkix-crl"), "{}", list.head);
    let number = world.authority.crl(&keys[0].id).await.unwrap().unwrap().0;
    assert!(list.head.contains(&format!("etag: \"{number}\"")), "{}", list.head);
    let headers = format!("if-none-match: \"{number}\"\r\n");
    assert_eq!(world.get(None, &path, &headers).await.status, 304);
    let none = world.get(None, &format!("{CRL}00"), "").await;
    assert_eq!(none.refused(), refusal(404, "not_found"));
    world.end().await;
}

#[tokio::test]
async fn a_renewal_window_is_told_by_the_rfcs_name_of_a_certificate_and_in_hex() {
    let world = World::new().await;
    let holder = world.holder(90).await;
    let row = world.authority.list(&Filter::default(), now()).await.unwrap();
    let row = row.into_iter().find(|row| row.serial == holder.serial()).unwrap();
    let base64 = |hex: &str| URL_SAFE_NO_PAD.encode(from_hex(hex).unwrap());
    let window = |answer: &Answer| -> RenewalInfo { serde_json::from_slice(&answer.body).unwrap() };
    let mut told = Vec::new();
    for name in [
        format!("{}.{}", base64(&row.issuer), base64(&row.serial)),
        format!("{}.{}", row.issuer, row.serial),
    ] {
        let answer = world.get(None, &format!("{RENEWAL}{name}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("retry-after: 21600"), "{}", answer.head);
        told.push(window(&answer));
    }
    assert_eq!(told[0], told[1]);
    let start: jiff::Timestamp = told[0].suggested_window.start.parse().unwrap();
    assert!((start.as_millisecond() - row.made_ms - 32 * HOUR).abs() < HOUR);
    // What was revoked should be renewed at once.
    world.revoke("app").await;
    let name = format!("{RENEWAL}{}.{}", row.issuer, row.serial);
    let end: jiff::Timestamp =
        window(&world.get(None, &name, "").await).suggested_window.end.parse().unwrap();
    assert!(end.as_millisecond() <= now());
    for (name, expected) in [("00.00", 404), ("a", 400), ("=.=", 400), (&"a".repeat(300), 400)] {
        assert_eq!(world.get(None, &format!("{RENEWAL}{name}"), "").await.status, expected);
    }
    world.end().await;
}

#[tokio::test]
async fn a_report_tells_of_certificates_that_were_never_recorded_and_only_listeners_are_believed() {
    let world = World::new().await;
    let (client, service) = (world.holder(90).await, world.holder_of("orders", 90).await);
    let issuer = world.authority.issuing_keys().await.unwrap()[0].id.clone();
    let (serial, at) = ("41".repeat(16), now());
    let body = format!(
        r#"{{"instance":"i1","now_ms":{at},"bundle_version":1,"seen":[{{"issuer":"{issuer}","serial":
        "{serial}","first_ms":{at},"last_ms":{at},"count":1,"from":"10.0.0.9"}}]}}"#
    );
    assert_eq!(world.post(Some(&client), REPORT, &body).await.status, 204);
    assert!(world.authority.unrecorded().await.unwrap().is_empty());
    for _ in 0..2 {
        assert_eq!(world.post(Some(&service), REPORT, &body).await.status, 204);
    }
    assert_eq!(world.authority.unrecorded().await.unwrap()[0].serial, serial);
    let raised = world.alarms.list(now());
    assert_eq!((raised.len(), raised[0].alarm.as_str()), (1, "unrecorded_certificate"));
    let alarms = world.recorded().into_iter().filter(|event| event.event == EventKind::Alarm);
    assert_eq!(alarms.count(), 1);
    world.end().await;
}
