//! What decides a renewal, and how often there is one.

use super::*;

// PKI-34
#[tokio::test]
async fn a_registration_that_changes_between_issue_and_renewal_decides_the_renewal() {
    let world = World::new().await;
    let (first, second) = (world.holder(90).await, world.holder_of("orders", 90).await);
    // Narrowed: other names and a shorter life from now on.
    let known = world.authority.registration("orders").await.unwrap().unwrap();
    let narrow = Registration {
        dns: vec!["orders.segwan.internal".to_owned()],
        leaf_lifetime: Some(Duration::from_secs(3600)),
        ..Registration::of(&known).unwrap()
    };
    world.authority.register(&narrow, now()).await.unwrap();
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    let leaf = world.post(Some(&second), RENEW, &body).await.leaf();
    assert!(leaf.names.contains(&Name::Dns("orders.segwan.internal".to_owned())), "{leaf:?}");
    assert!(leaf.not_after <= now() / 1000 + 3601);
    // Disabled: refused, and enabling it does not bring back what was revoked.
    world.revoke("app").await;
    for _ in 0..2 {
        let body = format!(r#"{{"csr":"{}"}}"#, csr());
        let answer = world.post(Some(&first), RENEW, &body).await;
        assert_eq!(answer.refused(), refusal(403, "renewal_refused"));
        world.authority.enable("app", now()).await.unwrap();
    }
    world.end().await;
}

#[tokio::test]
async fn a_lineage_renews_six_times_an_hour_at_most() {
    let world = World::new().await;
    let holder = world.holder(90).await;
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    for _ in 0..6 {
        assert_eq!(world.post(Some(&holder), RENEW, &body).await.status, 200);
    }
    let answer = world.post(Some(&holder), RENEW, &body).await;
    assert_eq!(answer.refused(), refusal(429, "slow_down"));
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    // Another one is not concerned.
    let other = world.holder(90).await;
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    assert_eq!(world.post(Some(&other), RENEW, &body).await.status, 200);
    let page = world.metrics.render(crate::metrics::Standing::default());
    for line in [
        "segwan_renewals_total{outcome=\"issued\"} 7",
        "segwan_renewals_total{outcome=\"slow_down\"} 1",
    ] {
        assert!(page.contains(line), "{page}");
    }
    world.end().await;
}
