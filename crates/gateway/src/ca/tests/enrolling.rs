//! Enrollment over the wire: tokens, requests, and what a bad one hears.

use super::*;

#[tokio::test]
async fn an_agent_enrolls_and_renews_over_the_wire() {
    let world = World::new().await;
    let state = world.elsewhere("app");
    let token = world.token().await;
    let agent = Agent::enroll(state.credentials("app"), &token, None).await.unwrap();
    assert_eq!(agent.identity().to_string(), "spiffe://segwan.internal/app");
    assert_eq!(agent.services()[0].addresses, ["127.0.0.1:7443"]);
    let first = agent.credentials().serial();
    agent.renew().await.unwrap();
    assert_ne!(agent.credentials().serial(), first);
    assert_eq!(agent.status().failures, 0);

    let told: Vec<_> = world.recorded();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].sentence.contains("enrolled from 127.0.0.1, until"), "{told:?}");
    assert!(told[1].sentence.contains("renewed from 127.0.0.1, until"), "{told:?}");
    assert_eq!(told[1].serial, Some(agent.credentials().serial()));
    world.end().await;
}

// PKI-20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_keys_with_one_token_one_gets_the_certificate() {
    let world = Arc::new(World::new().await);
    let secret = world.token().await.secret().to_string();
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let (world, secret) = (world.clone(), secret.clone());
        tasks.push(tokio::spawn(async move { world.enroll(&secret, &csr()).await.refused() }));
    }
    let mut answers = BTreeMap::<(u16, String), usize>::new();
    for task in tasks {
        *answers.entry(task.await.unwrap()).or_default() += 1;
    }
    let expected = [(refusal(200, ""), 1), (refusal(403, "token_refused"), 99)];
    assert_eq!(answers, BTreeMap::from(expected));
    assert_eq!(world.certificates().await, 1);
    let alarms = world.recorded().into_iter().filter(|event| event.event == EventKind::Alarm);
    assert_eq!(alarms.count(), 99);
    Arc::into_inner(world).unwrap().end().await;
}

// PKI-21, PKI-22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_gets_the_same_certificate_in_a_row_and_at_once() {
    let world = Arc::new(World::new().await);
    let (secret, csr) = (world.token().await.secret().to_string(), csr());
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let (world, secret, csr) = (world.clone(), secret.clone(), csr.clone());
        tasks.push(tokio::spawn(async move { world.enroll(&secret, &csr).await }));
    }
    let mut serials = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        if answer.refused() == refusal(409, "in_progress") {
            assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
        } else {
            serials.push(answer.leaf().serial);
        }
    }
    assert!(!serials.is_empty());
    for _ in 0..10 {
        serials.push(world.enroll(&secret, &csr).await.leaf().serial);
    }
    serials.dedup();
    assert_eq!(serials.len(), 1);
    assert_eq!(world.certificates().await, 1);
    Arc::into_inner(world).unwrap().end().await;
}

// PKI-24: one answer for the peer; the operator reads which, under the id of the answer.
#[tokio::test]
async fn every_bad_token_gets_one_answer_and_the_operator_reads_which() {
    let world = World::new().await;
    let used = world.token().await;
    assert_eq!(world.enroll(&used.secret(), &csr()).await.status, 200);
    let addresses = vec![world.address.clone()];
    let second = Duration::from_secs(1);
    let long_ago = now() - HOUR;
    let expired = world.authority.mint_token("app", addresses, second, long_ago).await.unwrap();
    let unknown = STANDARD.encode([7; 32]).replace('=', "");
    world.recorded();
    let mut told = Vec::new();
    let revoked = world.token().await;
    world.revoke(&format!("token:{}", hex(&revoked.secret_sha256()[..8]))).await;
    let short = used.secret()[1..].to_owned();
    world.recorded();
    for secret in [
        &*used.secret(),
        &*expired.secret(),
        &*revoked.secret(),
        &unknown,
        &short,
        &"x".to_owned(),
        &String::new(),
    ] {
        let answer = world.enroll(secret, &csr()).await;
        assert_eq!(answer.refused(), refusal(403, "token_refused"), "{secret}");
        let error = serde_json::from_slice::<ErrorAnswer>(&answer.body).unwrap().error;
        assert_eq!(error.request.len(), 16);
        let event = world.recorded().pop().unwrap();
        assert!(event.sentence.contains(&error.request), "{}", event.sentence);
        assert!(secret.len() < 2 || !event.sentence.contains(secret));
        told.push((event.event, event.sentence));
    }
    assert_eq!(told[0].0, EventKind::Alarm);
    assert!(told[0].1.contains("`app` was used a second time, with another key"), "{told:?}");
    for (told, which) in told[1..].iter().zip(["ended at", "was revoked", "it is unknown"]) {
        assert!(told.1.contains(which), "{told:?}");
    }
    let raised = world.alarms.list(now());
    assert_eq!((raised.len(), raised[0].alarm.as_str()), (1, "token_reused"));
    world.end().await;
}

// PKI-25
#[tokio::test]
async fn a_server_under_another_root_gets_no_byte_of_the_token() {
    let (world, other) = (World::new().await, World::new().await);
    let token = world.token().await;
    // The other Authority, behind a wire on which all that it decrypts can be read: it has a name
    // like ours, and a root of its own.
    let own = Agent::within(
        other.state.credentials(AUTHORITY_NAME),
        other.authority.clone(),
        AUTHORITY_NAME,
    );
    let acceptor = AuthorityAcceptor::new(
        &own.await.unwrap().credentials(),
        &other.authority.root(),
        other.authority.trust_domain().clone(),
        Duration::ZERO,
    )
    .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        if let Ok((mut stream, _)) = acceptor.accept(stream, Instant::now() + SOON).await {
            let _ = stream.read_to_end(&mut heard).await;
        }
        heard
    });
    let state = world.elsewhere("app");
    let refused = Agent::enroll(state.credentials("app"), &token, Some(vec![address])).await;
    assert!(matches!(refused, Err(AgentError::NotTheAuthority(_))));
    assert_eq!(timeout(SOON, heard).await.unwrap().unwrap(), b"");
    // The token is as good as before.
    assert!(Agent::enroll(state.credentials("app"), &token, None).await.is_ok());
    world.end().await;
    other.end().await;
}

// PKI-26
#[tokio::test]
async fn what_a_request_asks_for_beside_its_key_is_refused_or_not_granted() {
    let world = World::new().await;
    let secret = world.token().await.secret().to_string();
    let mut broken = STANDARD.decode(OTHER_NAMES).unwrap();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let answer = world.enroll(&secret, &STANDARD.encode(&broken)).await;
    assert_eq!(answer.refused(), refusal(422, "request_refused"));
    assert_eq!(world.enroll(&secret, "no base64!").await.refused(), refusal(400, "malformed"));
    assert_eq!(world.certificates().await, 0);

    // Both are of one key, so both get the one certificate that holds none of it.
    for request in [WOULD_BE_CA, OTHER_NAMES] {
        let leaf = world.enroll(&secret, request).await.leaf();
        assert_eq!(leaf.names, [Name::Uri("spiffe://segwan.internal/app".to_owned())]);
        assert!(!leaf.is_ca && leaf.subject_is_empty);
        assert_ne!(leaf.may_sign_certificates, Some(true));
    }
    assert_eq!(world.certificates().await, 1);
    world.end().await;
}

// PKI-28
#[tokio::test]
async fn what_is_no_request_is_refused_within_the_limits() {
    let short = Duration::from_secs(2);
    let world = World::with(Bounds { head: short, body: short, ..BOUNDS }).await;
    let large = format!(r#"{{"token":"t","csr":"{}"}}"#, "A".repeat(64 * 1024));
    let deep = "[".repeat(10_000);
    let cases: [(&str, String, &[u16]); 15] = [
        ("no byte", post(ENROLL, "", ""), &[400]),
        ("too large", post(ENROLL, "", &large), &[413]),
        ("no JSON", post(ENROLL, "", "token=x"), &[400]),
        ("unknown key", post(ENROLL, "", r#"{"token":"t","csr":"","x":1}"#), &[400]),
        ("key twice", post(ENROLL, "", r#"{"token":"t","token":"t","csr":""}"#), &[400]),
        ("a value more", post(ENROLL, "", r#"{"token":"t","csr":""}{}"#), &[400]),
        ("deep", post(ENROLL, "", &deep), &[400]),
        ("two lengths", post(ENROLL, "content-length: 3\r\n", "{}"), &[400]),
        ("a length twice", post(ENROLL, "content-length: 2\r\n", "{}"), &[400]),
        ("a body that stops", post(ENROLL, "", "{}").replace(": 2\r", ": 9\r"), &[408]),
        ("HTTP/1.0", post(ENROLL, "", "{}").replace("1.1", "1.0"), &[400]),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[0, 400, 505]),
        ("a head that stops", "POST /v1/enroll HT".to_owned(), &[0, 408]),
        ("a large head", post(ENROLL, &format!("x: {}\r\n", "y".repeat(9000)), "{}"), &[431]),
        ("many headers", post(ENROLL, &"x: y\r\n".repeat(40), "{}"), &[431]),
    ];
    for (case, request, expected) in cases {
        let answer = world.say(None, request.as_bytes()).await;
        assert!(expected.contains(&answer.status), "{case}: {answer:?}");
    }
    let form = post(ENROLL, "", "{}").replace("application/json", "text/plain");
    let answer = world.say(None, form.as_bytes()).await;
    assert_eq!(answer.refused(), refusal(415, "media_type"));
    // A body may come in pieces, and may not come without end.
    let chunked = "POST /v1/enroll HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n";
    let pieces = |count| format!("{chunked}{}0\r\n\r\n", "1\r\n[\r\n".repeat(count));
    let answer = world.say(None, pieces(10).as_bytes()).await;
    assert_eq!(answer.refused(), refusal(400, "malformed"));
    let answer = world.say(None, pieces(70_000).as_bytes()).await;
    assert!([0, 408, 413].contains(&answer.status), "{answer:?}");
    // A report may be larger, up to a bound of its own.
    let agent = world.holder(90).await;
    for (bytes, expected) in [(200 * 1024, 400), (257 * 1024, 413)] {
        let body = format!(r#"{{"instance":"{}"}}"#, "a".repeat(bytes));
        assert_eq!(world.post(Some(&agent), REPORT, &body).await.status, expected, "{bytes}");
    }
    let seen = r#"{"issuer":"a1","serial":"b2","first_ms":1,"last_ms":1,"count":1,"from":"x"}"#;
    let many = vec![seen; 1001].join(",");
    for body in [
        format!(r#"{{"instance":"i","now_ms":1,"bundle_version":1,"seen":[{many}]}}"#),
        r#"{"instance":"i","now_ms":1,"bundle_version":1,"seen":[],"more":1}"#.to_owned(),
        r#"{"instance":"../i","now_ms":1,"bundle_version":1,"seen":[]}"#.to_owned(),
    ] {
        let answer = world.post(Some(&agent), REPORT, &body).await;
        assert_eq!(answer.refused(), refusal(400, "malformed"), "{answer:?}");
    }
    for ack in [
        r#"{"instance":"","seq":1,"bundle_version":1,"closed":0}"#,
        r#"{"instance":"i","seq":-1,"bundle_version":1,"closed":0}"#,
        r#"{"instance":"i","seq":1,"bundle_version":1,"closed":-1}"#,
    ] {
        let answer = world.post(Some(&agent), ACK, ack).await;
        assert_eq!(answer.refused(), refusal(400, "malformed"), "{ack}");
    }
    let good = "instance=i&kind=gateway&version=1&host=h";
    for query in [
        "instance=i&kind=gateway&version=1",
        &format!("{good}&more=1"),
        &format!("{good}&epoch=1"),
        &good.replace("gateway", "toaster"),
        &good.replace("host=h", "host=a%0ab"),
        &good.replace("instance=i", &format!("instance={}", "i".repeat(65))),
    ] {
        let answer = world.get(Some(&agent), &format!("{EVENTS}?{query}"), "").await;
        assert_eq!(answer.refused(), refusal(400, "malformed"), "{query}");
    }
    // The port is as well as before.
    assert_eq!(world.say(None, b"GET /v1/health HTTP/1.1\r\nhost: a\r\n\r\n").await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_hundred_bad_tokens_are_one_alarm_and_lock_nobody_out() {
    let world = World::new().await;
    let unknown = STANDARD.encode([7; 32]).replace('=', "");
    let mut stream = world.connect(None).await;
    for n in 0..105 {
        let body = format!(r#"{{"token":"{unknown}","csr":"{OTHER_NAMES}"}}"#);
        stream.write_all(post(ENROLL, "", &body).as_bytes()).await.unwrap();
        let answer = timeout(SOON, Answer::read(&mut stream)).await.unwrap();
        assert_eq!(answer.refused(), refusal(403, "token_refused"), "{n}");
    }
    let raised = world.alarms.list(now());
    assert_eq!((raised.len(), raised[0].alarm.as_str()), (1, "enrollment_attack"));
    assert!(world.alarms.list(now() + 11 * 60_000).is_empty());
    let alarms = world.recorded().into_iter().filter(|event| event.event == EventKind::Alarm);
    assert_eq!(alarms.count(), 1);
    assert_eq!(world.enroll(&world.token().await.secret(), &csr()).await.status, 200);
    world.end().await;
}
