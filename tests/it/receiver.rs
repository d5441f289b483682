//! What the built-in receiver takes, refuses and survives.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use collector::{
    encode::{Compression, Encoder as _, Limits, Request, json::Json},
    queue::{Attached, Entry},
    receiver::{Options, Receiver, Totals},
    sample::{Cpu, Metrics, Origin, Sample},
    transport::{Delivery, Transport as _, http::HttpTransport},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

const LIMITS: Limits = Limits { max_samples: 500, max_bytes: 1_000_000 };

/// A receiver that serves, and how to stop it.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Totals>,
}

impl Running {
    async fn start(api_key: Option<&str>, output: Option<PathBuf>) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let api_key = api_key.map(Into::into);
        let options = Options { api_key, output, ..Options::new(listen) };
        let receiver = Receiver::bind(options).await.unwrap();
        let address = receiver.local_addr();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(receiver.serve(async { drop(stopped.await) }));
        Self { address, stop, served }
    }

    fn transport(&self) -> HttpTransport {
        let url = format!("http://{}/api/v1/metrics", self.address);
        HttpTransport::new(crate::delivery::options(&url)).unwrap()
    }

    async fn stop(self) -> Totals {
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(10), self.served).await.unwrap().unwrap()
    }

    /// Sends raw bytes over a fresh connection and reads the answer to its end.
    async fn say(&self, raw: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The answer may come, and the connection go, before everything is written.
        drop(stream.write_all(raw).await);
        let mut answer = Vec::new();
        drop(timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap());
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn post(&self, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST /api/v1/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.say(&[head.as_bytes(), body].concat()).await
    }
}

fn entries(seqs: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    let origin = Origin { host: "h".into(), tags: BTreeMap::new(), boot_id: [0; 16] };
    let sample = Sample {
        timestamp: "2026-11-22T19:11:32.123456Z".parse().unwrap(),
        since_boot: None,
        origin: Arc::new(origin),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    };
    let sample = Arc::new(sample);
    let entry = |seq| Entry { seq, agent_id: Uuid::nil(), bytes: 1, sample: Arc::clone(&sample) };
    seqs.into_iter().map(entry).collect()
}

fn encoded(seqs: impl IntoIterator<Item = u64>, compression: Compression) -> Request {
    Json::new(compression).encode(&entries(seqs), LIMITS, &Attached::default())
}

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

#[tokio::test]
async fn every_sample_is_accepted_once_whatever_the_compression() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("samples.ndjson");
    let receiver = Running::start(Some("canary-k3y"), Some(output.clone())).await;
    let mut transport = receiver.transport();
    for (seqs, compression) in [
        (0..10, Compression::None),
        (10..20, Compression::Gzip),
        (25..30, Compression::Zstd),
        (10..20, Compression::Gzip),
        (15..30, Compression::None),
    ] {
        let request = encoded(seqs, compression);
        assert_eq!(transport.send(&request).await, Delivery::Accepted);
    }
    let totals = receiver.stop().await;
    let expected = Totals {
        requests: 5,
        accepted: 30,
        duplicates: 20,
        rejected: 0,
        agents: 1,
        gaps: 0,
        unexplained: 0,
    };
    assert_eq!(totals, expected);
    let text = std::fs::read_to_string(output).unwrap();
    let seqs: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .inspect(|line| assert_eq!(line["agent_id"], Uuid::nil().to_string()))
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (0..20).chain(25..30).chain(20..25).collect();
    assert_eq!(seqs, expected);
}

#[tokio::test]
async fn losses_explain_gaps_also_when_their_samples_are_repetitions() {
    let receiver = Running::start(None, None).await;
    let mut transport = receiver.transport();
    let plain = encoded([1, 2, 10, 20], Compression::None);
    assert_eq!(transport.send(&plain).await, Delivery::Accepted);
    let body = String::from_utf8(plain.body.to_vec()).unwrap();
    let losses = r#""losses":[{"reason":"overflow","first_seq":3,"last_seq":8,"count":6},
        {"reason":"corrupt","first_seq":5,"last_seq":12,"count":2}],"samples""#;
    let telling = body.replace(r#""samples""#, losses);
    let answer = receiver.post(JSON, telling.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let backwards = telling.replace(r#""first_seq":3"#, r#""first_seq":9"#);
    let answer = receiver.post(JSON, backwards.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    let totals = receiver.stop().await;
    // 3 to 9 and 11 to 19 are missing; 13 to 19 nobody has told of.
    assert_eq!((totals.gaps, totals.unexplained, totals.duplicates), (16, 7, 4));
}

#[tokio::test]
async fn missing_numbers_are_counted_and_a_late_one_fills_its_gap() {
    let receiver = Running::start(None, None).await;
    let mut transport = receiver.transport();
    for seqs in [vec![1, 2], vec![5, 9]] {
        let request = encoded(seqs, Compression::None);
        assert_eq!(transport.send(&request).await, Delivery::Accepted);
    }
    assert_eq!(transport.send(&encoded([3], Compression::None)).await, Delivery::Accepted);
    assert_eq!(receiver.stop().await.gaps, 4);
}

#[tokio::test]
async fn request_without_the_key_is_refused_before_anything_else() {
    let receiver = Running::start(Some("k3y"), None).await;
    let body = encoded([1], Compression::None).body;
    for (key, expected) in [
        ("", "401"),
        ("X-API-Key: wrong\r\n", "401"),
        ("X-API-Key: k3\r\n", "401"),
        ("Authorization: Basic k3y\r\n", "401"),
        ("Authorization: k3y\r\n", "401"),
        ("X-API-Key: k3y\r\n", "200"),
        ("Authorization: bearer k3y\r\n", "200"),
    ] {
        let answer = receiver.post(&format!("{JSON}{key}"), &body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{key}: {answer}");
    }
    let totals = receiver.stop().await;
    assert_eq!((totals.rejected, totals.accepted, totals.duplicates), (5, 1, 1));
}

#[tokio::test]
async fn answer_names_what_was_taken() {
    let receiver = Running::start(None, None).await;
    let body = encoded([1, 2], Compression::None).body;
    let answer = receiver.post(JSON, &body).await;
    assert!(answer.ends_with("\r\n\r\n{\"accepted\":2,\"duplicates\":0}"), "{answer}");
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_its_kind() {
    let receiver = Running::start(None, None).await;
    let good = String::from_utf8(encoded([1, 2], Compression::None).body.to_vec()).unwrap();
    let typed = |headers: &str| format!("{JSON}{headers}");
    let key = "Idempotency-Key: \"00000000-0000-0000-0000-000000000000:1-2:00000000\"\r\n";
    for (headers, body, expected) in [
        (String::new(), good.clone(), "415"),
        ("Content-Type: text/plain\r\n".into(), good.clone(), "415"),
        (typed("Content-Encoding: br\r\n"), good.clone(), "415"),
        (typed("Content-Encoding: gzip\r\n"), good.clone(), "400"),
        (typed("Content-Encoding: zstd\r\n"), good.clone(), "400"),
        (typed(key), good.clone(), "422"),
        (typed("Idempotency-Key: \"other\"\r\n"), good.clone(), "422"),
        (typed(""), good.replace("}]}", "}]"), "400"),
        (typed(""), String::new(), "400"),
        (typed(""), "\u{0}\u{1}".into(), "400"),
        (typed(""), "[]".into(), "422"),
        (typed(""), good.replace("\"schema\":1", "\"schema\":2"), "422"),
        (typed(""), good.replace("\"seq\":2", "\"seq\":1"), "422"),
        (typed(""), good.replace("\"seq\":2", "\"seq\":-2"), "422"),
        (typed(""), good.replace("\"cpu\"", "\"gpu\""), "422"),
        (typed(""), good.replace("2026-11-22T", "yesterday "), "422"),
        (typed(""), good.replace("\"interval\":5.0", "\"interval\":0"), "422"),
        (typed(""), good.replace("\"metrics\":{", "\"metrics\":[{"), "400"),
        (typed(""), "[".repeat(100_000), "4"),
    ] {
        let answer = receiver.post(&headers, body.as_bytes()).await;
        let what: String = body.chars().take(80).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{headers}{what}: {answer}");
    }
    let get = receiver.say(b"GET /api/v1/metrics HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(get.starts_with("HTTP/1.1 405") && get.contains("allow: POST"), "{get}");
    let elsewhere = receiver.say(b"POST / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404"), "{elsewhere}");
    let totals = receiver.stop().await;
    assert_eq!((totals.requests, totals.rejected, totals.accepted), (21, 21, 0));
}

#[tokio::test]
async fn body_is_bounded_before_and_after_decompression() {
    let receiver = Running::start(None, None).await;
    let declared = b"POST /api/v1/metrics HTTP/1.1\r\nContent-Type: application/json\r\n\
                     Content-Length: 99999999999\r\n\r\n";
    assert!(receiver.say(declared).await.starts_with("HTTP/1.1 413"));
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    let head = "POST /api/v1/metrics HTTP/1.1\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut sent = 0;
    while sent < 64 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "an endless body must be cut off");

    let bomb = vec![b' '; 65 << 20];
    let zstd = zstd::bulk::compress(&bomb, 1).unwrap();
    let answer = receiver.post(&format!("{JSON}Content-Encoding: zstd\r\n"), &zstd).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(receiver.stop().await.accepted, 0);
}

#[tokio::test]
async fn garbage_and_idle_clients_keep_nobody_from_delivering() {
    let receiver = Running::start(None, None).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(receiver.address).await.unwrap());
    }
    for garbage in [&b"\x16\x03\x01\x02\x00"[..], b"SSH-2.0-x\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(receiver.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        idle.push(stream);
    }
    let slow = b"POST /api/v1/metrics HTTP/1.1\r\nContent-Type: application/json\r\n\
                 Content-Length: 100\r\n\r\n{";
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    stream.write_all(slow).await.unwrap();
    let request = encoded(0..5, Compression::None);
    assert_eq!(receiver.transport().send(&request).await, Delivery::Accepted);
    // The slow client holds the stop up for its grace only.
    assert_eq!(receiver.stop().await.accepted, 5);
}

#[tokio::test]
async fn figures_over_several_lines_become_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("samples.ndjson");
    let receiver = Running::start(None, Some(output.clone())).await;
    let body = encoded([1], Compression::None).body;
    let value: Value = serde_json::from_slice(&body).unwrap();
    let pretty = serde_json::to_vec_pretty(&value).unwrap();
    let answer = receiver.post(JSON, &pretty).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let text = std::fs::read_to_string(&output).unwrap();
    assert_eq!(text.lines().count(), 1);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["metrics"], value["samples"][0]["metrics"]);
    receiver.stop().await;
}
