//! What becomes of a batch, whatever a server does on the wire.

use std::time::{Duration, Instant};

use collector::{
    encode::Request,
    transport::{
        Delivery, Transport as _,
        http::{ApiKey, HttpTransport, KeySource, Options},
    },
};

use crate::support::{Scripted, Step, repeat, say};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

pub(crate) fn options(url: &str) -> Options {
    let source = KeySource::Value("canary-k3y".into());
    Options {
        url: url.parse().unwrap(),
        api_key: Some(ApiKey { header: "x-api-key".parse().unwrap(), source }),
        headers: vec![("x-extra".parse().unwrap(), "1".parse().unwrap())],
        timeout: Duration::from_millis(1_500),
        connect_timeout: Duration::from_secs(1),
        ca_file: None,
        client: None,
        proxy: None,
    }
}

pub(crate) fn request(seq: u64) -> Request {
    Request {
        content_type: "application/json",
        content_encoding: Some("gzip"),
        idempotency_key: format!("\"agent:{seq}-{seq}:00000000\""),
        body: format!("body {seq}").into(),
        plain_bytes: 6,
        first_seq: seq,
        last_seq: seq,
        samples: 1,
    }
}

fn transport(server: &Scripted) -> HttpTransport {
    HttpTransport::new(options(&server.url())).unwrap()
}

/// Delivers one batch to a server that reads it and then does `steps` on every connection.
async fn deliver_to(steps: Vec<Step>) -> Delivery {
    let server = Scripted::start(vec![[vec![Step::Read], steps].concat()]).await;
    transport(&server).send(&request(1)).await
}

async fn answered(answer: &str) -> Delivery {
    deliver_to(vec![say(answer), Step::Wait]).await
}

#[track_caller]
fn assert_retry(delivery: &Delivery, what: &str) {
    assert!(matches!(delivery, Delivery::Retry { .. }), "{what}: {delivery:?}");
}

#[tokio::test]
async fn request_carries_what_the_contract_says() {
    let server = Scripted::start(vec![vec![Step::Read, say(OK)]]).await;
    assert_eq!(transport(&server).send(&request(7)).await, Delivery::Accepted);
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /api/v1/metrics HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("host"), Some(&*server.address.to_string()));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("content-encoding"), Some("gzip"));
    assert_eq!(seen.header("content-length"), Some("6"));
    assert_eq!(seen.header("idempotency-key"), Some("\"agent:7-7:00000000\""));
    assert_eq!(seen.header("x-api-key"), Some("canary-k3y"));
    assert_eq!(seen.header("x-extra"), Some("1"));
    let agent = concat!("collector/", env!("CARGO_PKG_VERSION"));
    assert_eq!(seen.header("user-agent"), Some(agent));
    assert_eq!(seen.body, b"body 7");
}

#[tokio::test]
async fn user_agent_is_what_the_operator_says() {
    let server = Scripted::start(vec![vec![Step::Read, say(OK)]]).await;
    let headers = vec![("user-agent".parse().unwrap(), "other/1".parse().unwrap())];
    let options = Options { headers, ..options(&server.url()) };
    let mut transport = HttpTransport::new(options).unwrap();
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    let head = server.seen()[0].head.to_ascii_lowercase();
    assert_eq!(head.matches("user-agent").count(), 1, "{head}");
    assert!(head.contains("\r\nuser-agent: other/1\r\n"), "{head}");
}

#[tokio::test]
async fn connection_is_kept_for_the_next_batch() {
    let script = vec![Step::Read, say(OK), Step::Read, say(OK), Step::Wait];
    let server = Scripted::start(vec![script]).await;
    let mut transport = transport(&server);
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    assert_eq!(transport.send(&request(2)).await, Delivery::Accepted);
    assert_eq!((server.connections(), server.seen().len()), (1, 2));
}

#[tokio::test]
async fn status_decides_what_becomes_of_the_batch() {
    for line in ["200 OK", "201 Created", "202 Accepted", "204 No Content"] {
        let answer = format!("HTTP/1.1 {line}\r\n\r\n");
        assert_eq!(answered(&answer).await, Delivery::Accepted, "{line}");
    }
    let full = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
    assert_retry(&answered(&full("409 Conflict")).await, "409");
    assert_retry(&answered(&full("999 What")).await, "999");
    assert!(matches!(answered(&full("404 Not Found")).await, Delivery::Hold { .. }));
    assert!(matches!(answered(&full("413 Too Large")).await, Delivery::TooLarge { .. }));
    assert!(matches!(answered(&full("422 Invalid")).await, Delivery::Rejected { .. }));
    let wait = "503 Busy\r\nRetry-After: 120";
    let Delivery::Retry { after, .. } = answered(&full(wait)).await else { panic!() };
    assert_eq!(after, Some(Duration::from_mins(2)));
}

#[tokio::test]
async fn refusal_is_told_in_one_line_without_the_key() {
    let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 35\r\n\r\n\
                  bad key canary-k3y\r\nand more of that";
    let Delivery::Hold { reason } = answered(answer).await else { panic!() };
    assert_eq!(reason.status, Some(401));
    assert_eq!(reason.text, "401 Unauthorized: bad key ***");
}

#[tokio::test]
async fn redirect_is_never_followed() {
    let other = Scripted::start(vec![vec![Step::Read, say(OK)]]).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
            other.url()
        );
        assert!(matches!(answered(&answer).await, Delivery::Hold { .. }), "{status}");
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn refused_connection_is_retried_and_named() {
    let server = Scripted::start(vec![vec![]]).await;
    let (url, address) = (server.url(), server.address);
    drop(server);
    tokio::task::yield_now().await;
    let mut transport = HttpTransport::new(options(&url)).unwrap();
    let Delivery::Retry { after: None, reason, .. } = transport.send(&request(1)).await else {
        panic!()
    };
    assert_eq!(reason.text, format!("connection refused ({address})"));
    assert_eq!(reason.status, None);
}

#[tokio::test]
async fn answer_that_does_not_end_in_time_is_none() {
    for begin in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"] {
        let begun = Instant::now();
        assert_retry(&deliver_to(vec![say(begin), Step::Wait]).await, begin);
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
    let informational = repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n");
    assert_retry(&deliver_to(vec![informational]).await, "endless 103");
}

#[tokio::test]
async fn what_is_not_http_is_retried() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    for garbage in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 000 Zero\r\n\r\n",
        "HTTP/1.1 -20 Minus\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        &huge,
        &many,
    ] {
        let what: String = garbage.chars().take(60).collect();
        assert_retry(&answered(garbage).await, &what);
    }
}

#[tokio::test]
async fn broken_connection_is_retried() {
    assert_retry(&deliver_to(vec![]).await, "closed");
    assert_retry(&deliver_to(vec![Step::Reset]).await, "reset");
    assert_retry(&deliver_to(vec![say("HTTP/1.1 200 OK\r\nX"), Step::Reset]).await, "mid-answer");
    assert_retry(&deliver_to(vec![say("HTTP/1.1 200 OK\r\nX")]).await, "cut head");
}

#[tokio::test]
async fn complete_head_of_2xx_counts_whatever_its_body_does() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for steps in [
        vec![say(head), say("cut")],
        vec![say(head), Step::Reset],
        vec![say(head), Step::Wait],
        vec![say(chunked), say("ffffffffffffffff\r\nx"), Step::Wait],
        vec![say(chunked), say("nonsense\r\n"), Step::Wait],
        vec![say(chunked), repeat("1\r\nx\r\n")],
        vec![say(chunked), say("0\r\n"), repeat("Trailer: x\r\n")],
        vec![say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"), repeat("xxxxxxxx")],
        vec![say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\n\r\n"), say(OK), Step::Wait],
    ] {
        let begun = Instant::now();
        let what = format!("{steps:?}");
        assert_eq!(deliver_to(steps).await, Delivery::Accepted, "{what}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{what}");
    }
}

#[tokio::test]
async fn connection_with_an_unread_rest_is_not_used_again() {
    let unread = format!("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000));
    let server = Scripted::start(vec![vec![Step::Read, say(&unread), Step::Read, say(OK)]]).await;
    let mut transport = transport(&server);
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    assert_eq!(transport.send(&request(2)).await, Delivery::Accepted);
    assert_eq!(server.seen()[1].connection, 1);
}

#[tokio::test]
async fn second_answer_never_acknowledges_the_next_batch() {
    let twice = vec![Step::Read, say(&format!("{OK}{OK}")), Step::Read, Step::Wait];
    let busy = vec![Step::Read, say(BUSY)];
    let server = Scripted::start(vec![twice, busy]).await;
    let mut transport = transport(&server);
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    assert_retry(&transport.send(&request(2)).await, "the second answer isn't for this");
    assert_eq!(server.seen()[1].connection, 1);
}

#[tokio::test]
async fn late_second_answer_never_acknowledges_the_next_batch() {
    for late in [OK, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"] {
        let twice = vec![Step::Read, say(OK), Step::Gate, say(late), Step::Read, Step::Wait];
        let busy = vec![Step::Read, say(BUSY)];
        let mut server = Scripted::start(vec![twice, busy]).await;
        let mut transport = transport(&server);
        assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
        server.proceed();
        server.played(4).await;
        let delivery = transport.send(&request(2)).await;
        let Delivery::Retry { reason, .. } = &delivery else { panic!("{delivery:?}") };
        assert_eq!(reason.status, Some(503));
    }
}

#[tokio::test]
async fn answer_before_the_request_was_sent_acknowledges_nothing() {
    let mut large = request(1);
    large.body = vec![b'x'; 32 << 20].into();
    for script in [vec![say(OK), Step::Wait], vec![Step::Begin, say(OK), Step::Wait]] {
        let server = Scripted::start(vec![script]).await;
        assert_retry(&transport(&server).send(&large).await, "early answer");
    }
}

#[tokio::test]
async fn refusal_before_the_request_was_sent_still_counts() {
    let refusal = say("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let server = Scripted::start(vec![vec![Step::Begin, refusal, Step::Wait]]).await;
    let mut large = request(1);
    large.body = vec![b'x'; 32 << 20].into();
    let delivery = transport(&server).send(&large).await;
    assert!(matches!(delivery, Delivery::TooLarge { .. }), "{delivery:?}");
}

#[tokio::test]
async fn kept_connection_that_closes_unanswered_is_replaced_at_once() {
    let closing = vec![Step::Read, say(OK), Step::Read];
    let server = Scripted::start(vec![closing, vec![Step::Read, say(OK), Step::Wait]]).await;
    let mut transport = transport(&server);
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    assert_eq!(transport.send(&request(2)).await, Delivery::Accepted);
    let seen = server.seen();
    assert_eq!((seen[1].connection, seen[2].connection), (0, 1));
    assert_eq!((&seen[1].head, &seen[1].body), (&seen[2].head, &seen[2].body));
}

#[tokio::test]
async fn fresh_connection_that_closes_unanswered_is_not_tried_again() {
    let server =
        Scripted::start(vec![vec![Step::Read, say(OK), Step::Read], vec![Step::Read]]).await;
    let mut transport = transport(&server);
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    assert_retry(&transport.send(&request(2)).await, "closed twice");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn kept_connection_that_breaks_within_an_answer_is_not_tried_again() {
    let script = vec![Step::Read, say(OK), Step::Read, say("HTTP/1.1 2")];
    let server = Scripted::start(vec![script]).await;
    let mut transport = transport(&server);
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    assert_retry(&transport.send(&request(2)).await, "cut");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn changed_key_file_is_tried_at_once_and_an_unchanged_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "old\n").unwrap();
    let refusal = say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let first = vec![Step::Read, refusal.clone(), Step::Read, refusal, Step::Read, say(OK)];
    let server = Scripted::start(vec![first]).await;
    let mut options = options(&server.url());
    options.api_key = Some(ApiKey {
        header: "authorization".parse().unwrap(),
        source: KeySource::File(path.clone()),
    });
    let mut transport = HttpTransport::new(options).unwrap();
    assert!(matches!(transport.send(&request(1)).await, Delivery::Hold { .. }));
    assert_eq!(server.seen().len(), 1);
    std::fs::write(&path, "new\n").unwrap();
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    let keys: Vec<_> =
        server.seen().iter().map(|seen| seen.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(keys, ["Bearer old", "Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn abandoned_request_leaves_no_connection_behind() {
    let silent = vec![Step::Read, say(OK), Step::Read, Step::Wait];
    let mut server = Scripted::start(vec![silent, vec![Step::Read, say(BUSY)]]).await;
    let mut transport = transport(&server);
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    let second = request(2);
    tokio::select! {
        delivery = transport.send(&second) => panic!("{delivery:?}"),
        () = server.played(3) => {}
    }
    assert_retry(&transport.send(&request(3)).await, "a fresh connection");
    assert_eq!(server.seen()[2].connection, 1);
}

#[tokio::test]
async fn probe_sends_no_samples_and_tells_a_refused_key() {
    let server = Scripted::start(vec![
        vec![Step::Read, say("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")],
        vec![Step::Read, say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")],
    ])
    .await;
    let told = transport(&server).probe().await.unwrap();
    assert!(told.ends_with("answers OPTIONS with 405 Method Not Allowed"), "{told}");
    assert_eq!(transport(&server).probe().await.unwrap_err().status, Some(403));
    assert!(server.seen().iter().all(|seen| seen.body.is_empty()));
    assert!(server.seen()[0].head.starts_with("OPTIONS "));
}
