//! The forwarder with the real transport: answers as raw bytes, connections that fail.

use std::{fs, time::Duration};

use collector::{
    forward::State,
    receiver,
    retry::Policy,
    transport::{
        Delivery, Late, Transport as _,
        http::{ApiKey, HttpTransport, KeySource},
    },
};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

use super::rig::{Rig, SECOND, options};
use crate::{
    delivery,
    support::{self, Step, say},
};

/// A server that takes what is sent at about 20 MB/s and never answers.
async fn slow_link() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut pace = interval(Duration::from_millis(5));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sink = vec![0; 100_000];
        while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {
            pace.tick().await;
        }
    });
    url
}

#[tokio::test]
async fn slow_link_is_told_from_a_server_that_never_answers() {
    let mut large = delivery::request(1);
    large.body = vec![b'x'; 64 << 20].into();
    let mut transport = HttpTransport::new(delivery::options(&slow_link().await)).unwrap();
    let Delivery::Retry { late, reason, .. } = transport.send(&large).await else { panic!() };
    assert_eq!(late, Late::Moving, "{reason}");
    let silent = support::Scripted::start(vec![vec![Step::Read, Step::Wait]]).await;
    let mut transport = HttpTransport::new(delivery::options(&silent.url())).unwrap();
    let answer = transport.send(&delivery::request(1)).await;
    let Delivery::Retry { late, reason, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(late, Late::Silent, "{reason}");
}

#[tokio::test]
async fn new_key_in_the_file_ends_a_hold_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, "old").unwrap();
    let refused = say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let taken = say("HTTP/1.1 204 No Content\r\n\r\n");
    let script = vec![Step::Read, refused, Step::Read, taken, Step::Wait];
    let server = support::Scripted::start(vec![script]).await;
    let mut http = delivery::options(&server.url());
    let source = KeySource::File(path.clone());
    http.api_key = Some(ApiKey { header: "x-api-key".parse().unwrap(), source });
    let mut options = options();
    options.retry = Policy::try_new(SECOND, 3_600 * SECOND, 2.0).unwrap();
    let mut rig = Rig::start(options, HttpTransport::new(http).unwrap(), 2).await;
    rig.status(|status| status.state == State::Held).await;
    fs::write(&path, "new-key").unwrap();
    rig.idle().await;
    let keys: Vec<_> =
        server.seen().iter().map(|seen| seen.header("x-api-key").unwrap().to_owned()).collect();
    assert_eq!(keys, ["old", "new-key"]);
}

#[tokio::test]
async fn one_bad_sample_of_real_requests_is_a_dead_letter() {
    let refused = say("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad");
    let taken = say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    // 1 to 4, then 1 and 2 are refused, 1 alone is taken, 2 alone is refused, 3 and 4 are taken.
    let answers = [&refused, &refused, &taken, &refused, &taken];
    let script = answers.into_iter().flat_map(|answer| [Step::Read, answer.clone()]);
    let script = script.chain([Step::Wait]).collect();
    let server = support::Scripted::start(vec![script]).await;
    let transport = HttpTransport::new(delivery::options(&server.url())).unwrap();
    let mut rig = Rig::start(options(), transport, 4).await;
    rig.idle().await;
    assert_eq!(rig.fate(), (3, 1, 0));
    let keys: Vec<_> = server.seen().iter().map(range).collect();
    assert_eq!(keys, ["1-4", "1-2", "1-1", "2-2", "3-4"]);
}

/// First and last sequence number, as the idempotency key has them.
fn range(seen: &support::Seen) -> String {
    seen.header("idempotency-key").unwrap().split(':').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn every_sample_of_an_outage_arrives_once() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let options_of = |listen| receiver::Options::new(listen);
    let reserved = receiver::Receiver::bind(options_of(listen)).await.unwrap();
    let address = reserved.local_addr();
    drop(reserved);
    let url = format!("http://{address}/api/v1/metrics");
    let transport = HttpTransport::new(delivery::options(&url)).unwrap();
    let mut options = options();
    let milliseconds = Duration::from_millis;
    options.retry = Policy::try_new(milliseconds(10), milliseconds(50), 2.0).unwrap();
    let mut rig = Rig::start(options, transport, 700).await;
    let status = rig.status(|status| status.consecutive_failures == 3).await;
    let refused = format!("connection refused ({address})");
    assert_eq!(status.last_error, Some(refused));
    rig.put(50).await;
    let receiver = receiver::Receiver::bind(options_of(address)).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(receiver.serve(async { drop::<Result<(), _>>(stopped.await) }));
    rig.empty().await;
    rig.stop().await;
    stop.send(()).unwrap();
    let totals = serving.await.unwrap();
    assert_eq!((totals.accepted, totals.duplicates, totals.gaps), (750, 0, 0));
}
