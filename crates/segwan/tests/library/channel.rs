//! `Channel` between a service and a peer that says what it likes.

use crate::certificates::Root;
use segwan::tls::buffers::Buffers;
use segwan::tls::record::Records;
use segwan::{
    Acceptor, Channel, ChannelError, Connector, Contract, Expected, Limits, Policy, Reason,
    Secured, TlsFloor, Trust,
};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, timeout};

const ADD_TEN: &str = include_str!("../../../../examples/article/add-ten.toml");
const APP: &str = "spiffe://shop.example/app";
const SERVICE: &str = "spiffe://shop.example/add-ten";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn contract() -> Arc<Contract> {
    load(ADD_TEN)
}

fn load(text: &str) -> Arc<Contract> {
    let loaded = Contract::load("add-ten.toml", text, &|_| Err("no file".into()));
    loaded.map_err(|findings| segwan::report(&findings)).unwrap().0
}

fn policy(contract: &Contract, allowed: &str) -> Arc<Policy> {
    let allowed = [allowed.parse().unwrap()];
    let compiled = Policy::compile("add-ten", &contract.actions(), &allowed, &[]);
    Arc::new(compiled.map_err(|findings| segwan::report(&findings)).unwrap().0)
}

/// Both ends after their handshake, over a pipe.
async fn secured(pipe: usize) -> ((DuplexStream, Secured), (DuplexStream, Secured)) {
    let root = Root::new();
    let trust = || Arc::new(Trust::files(root.pem.as_bytes()).unwrap());
    let floor = TlsFloor::default();
    let service = root.service(SERVICE).credentials();
    let acceptor = Acceptor::new(service, trust(), floor).unwrap();
    let expected = Expected::one(SERVICE.parse().unwrap());
    let client = root.client(APP).credentials();
    let connector = Connector::new(client, trust(), expected, floor).unwrap();
    let (mut near, mut far) = duplex(pipe);
    let deadline = Instant::now() + DEADLINE;
    let (accepted, connected) = tokio::join!(
        acceptor.accept(&mut near, deadline),
        connector.connect(&mut far, "pipe", deadline)
    );
    ((near, accepted.unwrap()), (far, connected.unwrap()))
}

/// A service under a contract, and a peer that is held to nothing.
async fn service_and_peer(text: &str, limits: &Limits) -> (Channel<DuplexStream>, RawPeer) {
    let ((near, accepted), (far, connected)) = secured(64 * 1024).await;
    let contract = load(text);
    let policy = policy(&contract, APP);
    let channel = Channel::service(near, accepted, HERE, contract, policy, limits).await.unwrap();
    (channel, RawPeer { stream: far, records: connected.records, closed: false })
}

/// The peer's side of TLS, without a contract.
struct RawPeer {
    stream: DuplexStream,
    records: Records,
    closed: bool,
}

impl RawPeer {
    async fn say(&mut self, plain: &[u8]) {
        let sealed = Buffers::with(|buffers| {
            self.records.seal(plain, &mut buffers.sealed).unwrap();
            buffers.sealed.filled().to_vec()
        });
        self.stream.write_all(&sealed).await.unwrap();
    }

    async fn close(&mut self) {
        let sealed = Buffers::with(|buffers| {
            self.records.close(&mut buffers.sealed).unwrap();
            buffers.sealed.filled().to_vec()
        });
        self.stream.write_all(&sealed).await.unwrap();
    }

    /// What comes until `size` bytes did or the stream ended.
    async fn hear(&mut self, size: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        let reading = async {
            while heard.len() < size && !self.closed {
                let Some(plain) = self.read().await else { break };
                heard.extend_from_slice(&plain);
            }
        };
        timeout(DEADLINE, reading).await.expect("the channel fell silent");
        heard
    }

    /// Everything until the end, and whether that was in order.
    async fn hear_all(&mut self) -> (Vec<u8>, bool) {
        let heard = self.hear(usize::MAX).await;
        (heard, self.closed)
    }

    async fn read(&mut self) -> Option<Vec<u8>> {
        poll_fn(|cx| {
            Buffers::with(|buffers| {
                let mut into = ReadBuf::new(self.records.room(&mut buffers.incoming));
                let stream = Pin::new(&mut self.stream);
                if ready!(stream.poll_read(cx, &mut into)).is_err() || into.filled().is_empty() {
                    return Poll::Ready(None);
                }
                let read = into.filled().len();
                let Buffers { incoming, plain, sealed } = buffers;
                self.closed = self.records.open(incoming, read, plain, sealed).unwrap();
                Poll::Ready(Some(plain.filled().to_vec()))
            })
        })
        .await
    }
}

async fn text(channel: &mut Channel<DuplexStream>) -> String {
    let message = timeout(DEADLINE, channel.recv()).await.unwrap().unwrap().expect("a message");
    assert_eq!((message.name(), message.action()), ("add", Some("add")));
    message.text().unwrap().to_owned()
}

async fn ended(channel: &mut Channel<DuplexStream>) -> Reason {
    match timeout(DEADLINE, channel.recv()).await.unwrap() {
        Err(ChannelError::Ended(ending)) => ending.reason,
        other => panic!("{other:?}"),
    }
}

// S1b, TRAP-01, ADV-20
#[tokio::test]
async fn split_and_joined_messages_come_out_whole() {
    let (mut channel, mut peer) = service_and_peer(ADD_TEN, &Limits::default()).await;
    assert_eq!(channel.peer().identity().to_string(), APP);
    peer.say(b"5\n6\r\n7").await;
    assert_eq!(text(&mut channel).await, "5");
    assert_eq!(text(&mut channel).await, "6");
    let early = timeout(Duration::from_millis(50), channel.recv()).await;
    assert!(early.is_err(), "half a message came out");
    for byte in b"77\n" {
        peer.say(&[*byte]).await;
    }
    assert_eq!(text(&mut channel).await, "777");
    for sum in ["15", "16", "787"] {
        channel.send(sum.as_bytes()).await.unwrap();
    }
    assert_eq!(peer.hear(10).await, b"15\n16\n787\n");
    peer.close().await;
    assert!(channel.recv().await.unwrap().is_none());
    channel.close().await.unwrap();
    assert_eq!(peer.hear_all().await, (vec![], true));
}

// S1e, S3c: the program sees no such message, and the answer keeps its place.
#[tokio::test]
async fn what_breaks_the_contract_is_answered_by_the_contract() {
    let (mut channel, mut peer) = service_and_peer(ADD_TEN, &Limits::default()).await;
    let (tell, told) = std::sync::mpsc::channel();
    channel.record(move |event| tell.send((event.reason, event.peer.clone())).unwrap());
    peer.say(b"5\nfive\n6\n").await;
    assert_eq!(text(&mut channel).await, "5");
    assert_eq!(text(&mut channel).await, "6");
    channel.send(b"15").await.unwrap();
    channel.send(b"16").await.unwrap();
    assert_eq!(peer.hear(19).await, b"15\nInvalid data\n16\n");
    assert_eq!(told.try_recv().unwrap(), (Some(Reason::Grammar), Some(APP.to_owned())));
}

// TRAP-16
#[tokio::test]
async fn a_reply_that_breaks_the_contract_is_refused_before_a_byte_leaves() {
    for (reply, reason) in [
        (&b"015"[..], Reason::Grammar),
        (b"Traceback (most recent call last):", Reason::FrameTooLarge),
        (b"\xff", Reason::Charset),
    ] {
        let (mut channel, mut peer) = service_and_peer(ADD_TEN, &Limits::default()).await;
        peer.say(b"5\n").await;
        assert_eq!(text(&mut channel).await, "5");
        match channel.send(reply).await {
            Err(ChannelError::Refused(why)) => assert_eq!(why.reason, reason),
            other => panic!("{other:?}"),
        }
        drop(channel);
        assert_eq!(peer.hear_all().await, (vec![], false), "{reply:?}");
    }
}

#[tokio::test]
async fn a_payload_that_no_frame_holds_changes_nothing() {
    let (mut channel, mut peer) = service_and_peer(ADD_TEN, &Limits::default()).await;
    peer.say(b"5\n").await;
    assert_eq!(text(&mut channel).await, "5");
    for bad in [&b"15\n16"[..], b"15\r"] {
        assert!(matches!(channel.send(bad).await, Err(ChannelError::Refused(_))));
    }
    assert!(matches!(channel.send_frame(b"15").await, Err(ChannelError::Refused(_))));
    assert!(matches!(channel.send_frame(b"15\n16\n").await, Err(ChannelError::Refused(_))));
    channel.send(b"15").await.unwrap();
    assert_eq!(peer.hear(3).await, b"15\n");
}

#[tokio::test]
async fn a_service_cannot_speak_unasked() {
    let (mut channel, mut peer) = service_and_peer(ADD_TEN, &Limits::default()).await;
    let error = channel.send(b"15").await.unwrap_err();
    assert_eq!(error.reason(), Reason::Unasked);
    assert_eq!(channel.send(b"15").await.unwrap_err().reason(), Reason::Unasked);
    assert_eq!(peer.hear_all().await, (vec![], false));
}

// F9, S1d: whole messages first, then the error; the cut one never.
#[tokio::test]
async fn a_cut_stream_is_an_error_and_no_last_message() {
    for (clean, reason) in [(true, Reason::TruncatedFrame), (false, Reason::TruncatedStream)] {
        let (mut channel, mut peer) = service_and_peer(ADD_TEN, &Limits::default()).await;
        peer.say(b"5\n6").await;
        if clean {
            peer.close().await;
        }
        peer.stream.shutdown().await.unwrap();
        assert_eq!(text(&mut channel).await, "5");
        assert_eq!(ended(&mut channel).await, reason);
        assert_eq!(ended(&mut channel).await, reason, "and it stays so");
        assert_eq!(peer.hear_all().await, (vec![], false));
    }
}

// ADV-21, S3g
#[tokio::test]
async fn a_peer_that_says_nothing_is_not_waited_for() {
    let limits = Limits { first_message_timeout: Duration::from_millis(200), ..Limits::default() };
    let (mut channel, mut peer) = service_and_peer(ADD_TEN, &limits).await;
    let began = Instant::now();
    assert_eq!(ended(&mut channel).await, Reason::FirstMessageTimeout);
    assert!(began.elapsed() < DEADLINE);
    assert_eq!(peer.hear_all().await, (vec![], true));
}

// ADV-21
#[tokio::test]
async fn a_message_has_to_be_whole_in_time() {
    let limits = Limits { message_timeout: Duration::from_millis(200), ..Limits::default() };
    let (mut channel, mut peer) = service_and_peer(ADD_TEN, &limits).await;
    peer.say(b"5").await;
    assert_eq!(ended(&mut channel).await, Reason::MessageTimeout);
}

// A program that is away is no fault of its peer.
#[tokio::test]
async fn a_message_that_came_in_time_is_heard_late() {
    let limits = Limits { message_timeout: Duration::from_millis(200), ..Limits::default() };
    let (mut channel, mut peer) = service_and_peer(ADD_TEN, &limits).await;
    peer.say(b"5\n6").await;
    assert_eq!(text(&mut channel).await, "5");
    peer.say(b"\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    channel.send(b"15").await.unwrap();
    assert_eq!(text(&mut channel).await, "6");
}

// H9: the peer reads nothing; the program is not held for ever.
#[tokio::test]
async fn a_peer_that_takes_nothing_is_not_waited_for() {
    let text = ADD_TEN
        .split("[[test]]")
        .next()
        .unwrap()
        .replace("answers  = [\"add\"]", "pushes = true")
        .replace("rules    = [", "#")
        .replace("contract = ", "pair = { by = \"none\" }\ncontract = ");
    let limits = Limits { write_timeout: Duration::from_millis(300), ..Limits::default() };
    let (mut channel, _peer) = service_and_peer(&text, &limits).await;
    let pushing = async {
        loop {
            if let Err(error) = channel.send(b"999999999").await {
                return error.reason();
            }
        }
    };
    let reason = timeout(DEADLINE, pushing).await.expect("a full pipe holds the program");
    assert_eq!(reason, Reason::WriteTimeout);
}

// F2: a finished handshake, an orderly end, no byte.
#[tokio::test]
async fn a_peer_that_no_policy_permits_is_shown_out() {
    let ((near, accepted), (far, connected)) = secured(64 * 1024).await;
    let contract = contract();
    let policy = policy(&contract, "spiffe://shop.example/other");
    let limits = Limits::default();
    let mut peer = RawPeer { stream: far, records: connected.records, closed: false };
    let (refused, seen) = tokio::join!(
        Channel::service(near, accepted, HERE, contract, policy, &limits),
        peer.hear_all()
    );
    let error = refused.unwrap_err();
    assert!(matches!(&error, ChannelError::Denied(_)));
    assert_eq!(error.to_string(), format!("no policy permits {APP} on `add-ten`"));
    assert_eq!(seen, (vec![], true));
}

#[tokio::test]
async fn two_programs_speak_to_each_other() {
    let ((near, accepted), (far, connected)) = secured(1024).await;
    let limits = Limits::default();
    let contract = contract();
    let policy = policy(&contract, APP);
    let service = Channel::service(near, accepted, HERE, contract.clone(), policy, &limits).await;
    let mut service = service.unwrap();
    let mut client = Channel::client(far, connected, contract, &limits);
    let serving = async {
        while let Some(message) = service.recv().await? {
            let number: i64 = message.text().unwrap().parse().unwrap();
            service.send((number + 10).to_string().as_bytes()).await?;
        }
        service.close().await
    };
    let asking = async {
        // Not sent, and not a request that waits for its reply.
        let refused = client.send(b"five").await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Grammar);
        for n in 0..8 {
            client.send(n.to_string().as_bytes()).await?;
        }
        assert_eq!(client.send(b"8").await, Err(ChannelError::Full(8)));
        for n in 10..18 {
            let reply = client.recv().await?.expect("a reply");
            assert_eq!((reply.name(), reply.action()), ("sum", None));
            assert_eq!(reply.text(), Some(n.to_string().as_str()));
            assert_eq!(reply.frame(), format!("{n}\n").as_bytes());
        }
        client.finish().await?;
        assert_eq!(client.send(b"8").await, Err(ChannelError::Finished));
        assert!(client.recv().await?.is_none());
        client.close().await
    };
    let both = async { tokio::join!(serving, asking) };
    let (served, asked) = timeout(DEADLINE, both).await.expect("both go on");
    served.unwrap();
    asked.unwrap();
}

// TRAP-16, F9: a client's program is protected from a service too.
#[tokio::test]
async fn a_service_that_breaks_its_contract_is_not_heard() {
    let ((near, accepted), (far, connected)) = secured(64 * 1024).await;
    let mut client = Channel::client(far, connected, contract(), &Limits::default());
    let mut service = RawPeer { stream: near, records: accepted.records, closed: false };
    client.send(b"5").await.unwrap();
    client.send(b"6").await.unwrap();
    assert_eq!(service.hear(4).await, b"5\n6\n");
    service.say(b"15\n<html>\n").await;
    assert_eq!(client.recv().await.unwrap().unwrap().text(), Some("15"));
    assert_eq!(ended(&mut client).await, Reason::Grammar);
}
