//! Who is let in at which route, and who is not let in at all.

use super::*;

// PKI-29: a route without a row fails, and so does a row without a route.
#[tokio::test]
async fn each_route_takes_those_callers_who_are_listed_for_it() {
    let world = World::new().await;
    let (client, service) = (world.holder(90).await, world.holder_of("orders", 90).await);
    let (expired, revoked) = (world.holder(-24).await, world.holder_of("other", 90).await);
    world.revoke("other").await;
    let callers = [None, Some(&client), Some(&service), Some(&expired), Some(&revoked)];
    // What nobody, a client, a service, the holder of an ended certificate and of a revoked one
    // hear; 400 and 404 are past the question who may call.
    let rows: BTreeMap<&str, (&str, [u16; 5])> = BTreeMap::from([
        (ENROLL, ("POST", [400, 400, 400, 401, 400])),
        (RENEW, ("POST", [401, 400, 400, 400, 400])),
        (HEALTH, ("GET", [200, 200, 200, 401, 200])),
        (BUNDLE, ("GET", [200, 200, 200, 401, 200])),
        ("/v1/crl/{issuer}", ("GET", [404, 404, 404, 401, 404])),
        ("/v1/renewal/{certificate}", ("GET", [400, 400, 400, 401, 400])),
        (EVENTS, ("GET", [401, 400, 400, 401, 403])),
        (ACK, ("POST", [401, 400, 400, 401, 403])),
        (REPORT, ("POST", [401, 400, 400, 401, 403])),
    ]);
    let paths: Vec<&str> = routes().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), rows.len());
    for path in paths {
        let (method, expected) = rows.get(path).expect("a row for each route");
        for (caller, expected) in callers.into_iter().zip(expected) {
            let request = post(path, "", "{}").replacen("POST", method, 1);
            let answer = world.say(caller, request.as_bytes()).await;
            assert_eq!(answer.status, *expected, "{path} {answer:?}");
            match expected {
                401 => assert_eq!(answer.reason(), "certificate_required"),
                403 => assert_eq!(answer.reason(), "revoked"),
                _ => {}
            }
        }
        let other = post(path, "", "{}").replacen("POST", "DELETE", 1);
        assert_eq!(world.say(None, other.as_bytes()).await.refused(), refusal(405, "method"));
    }
    let nowhere = world.post(None, "/v1/nowhere", "{}").await;
    assert_eq!(nowhere.refused(), refusal(404, "not_found"));
    world.end().await;
}

// PKI-29, PKI-49: after the root was given up, what is under it may renew where it is on the record,
// and has no other route; what the old root's key forges has none at all.
#[tokio::test]
async fn under_a_root_that_was_given_up_what_is_recorded_renews_and_nothing_else_passes() {
    let world = World::new().await;
    let (recorded, ended) = (world.holder(90).await, world.holder(-24).await);
    let lost = world.expel_root().await;
    let (forged, forged_to_renew) = (forge(&lost), forge(&lost));
    let rows: BTreeMap<&str, (&str, u16)> = BTreeMap::from([
        (ENROLL, ("POST", 401)),
        (RENEW, ("POST", 400)),
        (HEALTH, ("GET", 401)),
        (BUNDLE, ("GET", 401)),
        ("/v1/crl/{issuer}", ("GET", 401)),
        ("/v1/renewal/{certificate}", ("GET", 401)),
        (EVENTS, ("GET", 401)),
        (ACK, ("POST", 401)),
        (REPORT, ("POST", 401)),
    ]);
    assert_eq!(routes().len(), rows.len());
    for (path, _) in routes() {
        let (method, expected) = rows.get(path).expect("a row for each route");
        let request = post(path, "", "{}").replacen("POST", method, 1);
        for holder in [&recorded, &ended, &forged] {
            let answer = world.say(Some(holder), request.as_bytes()).await;
            assert_eq!(answer.status, *expected, "{path} {answer:?}");
        }
        assert_ne!(world.say(None, request.as_bytes()).await.status, 0, "{path}");
    }
    world.recorded();
    let token = world.token().await;
    let body = format!(r#"{{"token":"{}","csr":"{}"}}"#, &*token.secret(), csr());
    let refused = world.post(Some(&forged), ENROLL, &body).await;
    assert_eq!(refused.refused(), refusal(401, "certificate_required"));
    let told = world.recorded().pop().unwrap();
    assert!(told.sentence.contains("believed no more"), "{told:?}");

    let body = || format!(r#"{{"csr":"{}"}}"#, csr());
    let refused = world.post(Some(&forged_to_renew), RENEW, &body()).await;
    assert_eq!(refused.refused(), refusal(403, "renewal_refused"));
    let told = world.recorded();
    assert!(told.iter().any(|event| event.sentence.contains("(unrecorded)")), "{told:?}");
    // Whoever has no certificate is as welcome as before.
    assert_eq!(world.enroll(&token.secret(), &csr()).await.status, 200);
    for holder in [&recorded, &ended] {
        let (key, body) = renewal();
        let answer = world.post(Some(holder), RENEW, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let issued: IssuedAnswer = serde_json::from_slice(&answer.body).unwrap();
        let chain = issued.certificate.iter().map(|der| pem(&STANDARD.decode(der).unwrap()));
        let chain: String = chain.collect();
        let renewed = Credentials::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(world.get(Some(&renewed), HEALTH, "").await.status, 200);
        assert_eq!(world.get(Some(&renewed), EVENTS, "").await.status, 400);
    }
    world.end().await;
}

// PKI-49: whoever holds a distrusted issuing key gets no further.
#[tokio::test]
async fn under_a_distrusted_issuing_key_there_is_a_renewal_and_nothing_else() {
    let world = World::new().await;
    let recorded = world.holder(90).await;
    assert_eq!(world.get(Some(&recorded), HEALTH, "").await.status, 200);
    let signs = world.authority.signing_key().unwrap();
    world.authority.distrust_issuing(&signs, now()).await.unwrap();
    world.own.renew().await.unwrap();
    for path in [HEALTH, BUNDLE, EVENTS] {
        let answer = world.get(Some(&recorded), path, "").await;
        assert_eq!(answer.refused(), refusal(401, "certificate_required"), "{path}");
    }
    assert_eq!(world.post(Some(&recorded), RENEW, &renewal().1).await.status, 200);
    world.end().await;
}

/// A new key in PEM, and a request for its certificate.
fn renewal() -> (String, String) {
    let key = PrivateKey::generate().unwrap();
    let csr = STANDARD.encode(certificate_request(&key).unwrap());
    (key.to_pem().unwrap().to_string(), format!(r#"{{"csr":"{csr}"}}"#))
}

/// What whoever has a root's key makes of it: an issuing certificate, and `app` under it.
fn forge(root: &segwan_pki::custody::Root) -> Credentials {
    let (issuing, key) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let domain = "segwan.internal";
    let constraints = segwan_pki::x509::Constraints::of(domain);
    let request = segwan_pki::x509::issuing_request(&issuing, domain, &constraints).unwrap();
    let der = root.sign_issuing(&request, &Default::default(), 100, now()).unwrap();
    let issuing = segwan_pki::x509::Authority { der: der.clone(), key: issuing };
    let leaf = segwan_pki::x509::Leaf::new(
        "spiffe://segwan.internal/app".parse().unwrap(),
        Profile::Client,
        [0x45; 16],
        now() / 1000 - 240,
        now() / 1000 + 3600,
    );
    let requested = certificate_request(&key).unwrap();
    let requested = segwan_pki::x509::RequestedKey::read(&requested).unwrap();
    let intent = issuing.intent(&leaf, &requested).unwrap();
    let leaf = issuing.sign(&leaf, &requested, intent, root.certificate()).unwrap();
    let chain = format!("{}{}", pem(&leaf), pem(&der));
    Credentials::from_pem(chain.as_bytes(), key.to_pem().unwrap().as_bytes()).unwrap()
}

// PKI-29, PKI-31: a certificate that has ended renews within the grace; one of a foreign Authority,
// or past the grace, does not even finish the handshake.
#[tokio::test]
async fn who_holds_an_ended_certificate_may_renew_while_the_grace_lasts() {
    let (world, other) = (World::new().await, World::new().await);
    let expired = world.holder(-24).await;
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    let leaf = world.post(Some(&expired), RENEW, &body).await.leaf();
    assert!(leaf.not_after > now() / 1000 + 90 * 3600);
    for stranger in [world.holder(-200).await, other.holder(90).await] {
        world.recorded();
        let answer = world.post(Some(&stranger), RENEW, &body).await;
        assert_eq!(answer.status, 0, "{answer:?}");
        let event = world.recorded().pop().unwrap();
        assert_eq!(event.event, EventKind::Refused);
        assert!(event.reason.is_some(), "{event:?}");
    }
    world.end().await;
    other.end().await;
}

#[tokio::test]
async fn the_port_stops_although_somebody_holds_a_connection() {
    let world = World::new().await;
    let _silent = TcpStream::connect(&world.address).await.unwrap();
    let _idle = world.connect(None).await;
    let mut half = world.connect(None).await;
    half.write_all(post(ENROLL, "", "{}").replace(": 2\r", ": 9\r").as_bytes()).await.unwrap();
    world.end().await;
}

// ADV-08: nothing is let in that could not be put on the record.
#[tokio::test]
async fn while_the_record_cannot_be_written_nobody_is_let_in() {
    let world = World::new().await;
    let (recorder, _kept) = Recorder::new(1);
    let port = Port {
        api: Api::new(
            world.authority.clone(),
            told(recorder.clone()),
            BOUNDS,
            CancellationToken::new(),
        ),
        acceptor: Arc::new(
            AuthorityAcceptor::new(
                &world.holder(90).await,
                &world.authority.root(),
                world.authority.trust_domain().clone(),
                Duration::ZERO,
            )
            .unwrap(),
        ),
        stop: CancellationToken::new(),
    };
    let address = "127.0.0.1:9".parse().unwrap();
    assert!(port.take(&Slots::default(), address).is_some());
    recorder.record(Event::new(EventKind::Admin));
    recorder.record(Event::new(EventKind::Admin));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(port.take(&Slots::default(), address).is_none());
    world.end().await;
}
