//! The way through a proxy: what it is shown, what its refusals mean, and that nothing but the
//! configuration makes us take it.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use collector::transport::{
    Delivery, Transport as _,
    http::{Credentials, HttpTransport, Options, Proxy},
};

use crate::{
    delivery::{options, request},
    support::{Scripted, Step, say},
    tls::{authority, serve_trusted},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Of `user` and `p4ss:w`.
const BASIC: &str = "Basic dXNlcjpwNHNzOnc=";

fn by(address: SocketAddr, url: &str) -> Options {
    let proxy = Proxy {
        url: format!("http://{address}").parse().unwrap(),
        credentials: Some(Credentials::basic("user", "p4ss:w")),
    };
    Options { proxy: Some(proxy), ..options(url) }
}

async fn send(options: Options) -> Delivery {
    HttpTransport::new(options).unwrap().send(&request(1)).await
}

/// What becomes of a batch for an https server when the proxy answers `CONNECT` like this.
async fn connect_answered(answer: &str) -> (Delivery, Scripted) {
    let proxy = Scripted::start(vec![vec![Step::Read, say(answer), Step::Wait]]).await;
    let authority = authority();
    let mut options = by(proxy.address, "https://server.example/api/v1/metrics");
    options.ca_file = Some(authority.file.clone());
    (send(options).await, proxy)
}

#[tokio::test]
async fn plain_request_goes_to_the_proxy_with_its_whole_url() {
    let script = vec![Step::Read, say(OK), Step::Read, say(OK), Step::Wait];
    let proxy = Scripted::start(vec![script]).await;
    let options = by(proxy.address, "http://server.example:81/api/v1/metrics");
    let mut transport = HttpTransport::new(options).unwrap();
    for seq in 1..=2 {
        assert_eq!(transport.send(&request(seq)).await, Delivery::Accepted);
    }
    let seen = &proxy.seen()[1];
    assert_eq!(seen.connection, 0);
    let line = "POST http://server.example:81/api/v1/metrics HTTP/1.1\r\n";
    assert!(seen.head.starts_with(line), "{}", seen.head);
    assert_eq!(seen.header("host"), Some("server.example:81"));
    assert_eq!(seen.header("proxy-authorization"), Some(BASIC));
    assert_eq!(seen.header("x-api-key"), Some("canary-k3y"));
    assert_eq!(seen.body, b"body 2");
}

#[tokio::test]
async fn proxy_of_a_tunnel_is_shown_host_and_port_and_never_the_key() {
    let (delivery, proxy) = connect_answered("HTTP/1.1 407 No\r\n\r\n").await;
    assert!(matches!(delivery, Delivery::Hold { .. }), "{delivery:?}");
    let [seen] = &proxy.seen()[..] else { panic!("{:?}", proxy.seen()) };
    assert!(seen.head.starts_with("CONNECT server.example:443 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("proxy-authorization"), Some(BASIC));
    assert!(!format!("{seen:?}").contains("k3y"), "{seen:?}");
    assert!(seen.body.is_empty() && seen.header("x-extra").is_none(), "{seen:?}");
}

#[tokio::test]
async fn refusal_of_a_tunnel_is_ours_and_never_that_of_the_data() {
    for status in [300, 301, 400, 401, 403, 404, 405, 407, 413, 422, 501] {
        let answer = format!("HTTP/1.1 {status} Because\r\nContent-Length: 0\r\n\r\n");
        let (delivery, _) = connect_answered(&answer).await;
        let Delivery::Hold { reason } = delivery else { panic!("{status}: {delivery:?}") };
        assert_eq!(reason.status, None);
        let start = format!("the proxy answers {status}");
        assert!(reason.text.contains(&start) && reason.text.contains("by the proxy"), "{reason}");
    }
}

#[tokio::test]
async fn proxy_that_can_not_reach_the_server_is_asked_again_later() {
    for status in [408, 429, 500, 502, 503, 504] {
        let answer = format!("HTTP/1.1 {status} Because\r\nRetry-After: 7\r\n\r\n");
        let (delivery, _) = connect_answered(&answer).await;
        let Delivery::Retry { after, reason, .. } = delivery else {
            panic!("{status}: {delivery:?}")
        };
        assert_eq!(after, Some(Duration::from_secs(7)), "{reason}");
    }
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n".repeat(10_000);
    for broken in ["", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\n\r\nmore", "HTTP/1.1 2", &huge, &hints]
    {
        let (delivery, _) = connect_answered(broken).await;
        let shown: String = broken.chars().take(40).collect();
        assert!(matches!(delivery, Delivery::Retry { after: None, .. }), "{shown}: {delivery:?}");
    }
}

#[tokio::test]
async fn refused_credentials_hold_and_an_echo_of_them_is_masked() {
    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 65\r\n\r\n\
                  user:p4ss:w dXNlcjpwNHNzOnc= is wrong, and so is your canary-k3y!";
    let proxy = Scripted::start(vec![vec![Step::Read, say(answer), Step::Wait]]).await;
    let delivery = send(by(proxy.address, "http://server.example/")).await;
    let Delivery::Hold { reason } = delivery else { panic!("{delivery:?}") };
    let text = "407 Proxy Authentication Required: user:*** ***= is wrong, and so is your ***!";
    assert_eq!(reason.text, text);
}

#[tokio::test]
async fn absent_proxy_is_retried_and_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let delivery = send(by(address, "http://server.example/")).await;
    let Delivery::Retry { after: None, reason, .. } = delivery else { panic!("{delivery:?}") };
    let text = format!("connection refused (server.example:80 by the proxy {address})");
    assert_eq!(reason.text, text);
}

/// A proxy that tunnels to `target`, whatever it is asked for; tells what it was asked.
fn tunnel_to(target: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            heads.lock().unwrap().extend(head);
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let server = TcpStream::connect(target).unwrap();
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    std::io::copy(&mut from, &mut to).ok();
                    to.shutdown(std::net::Shutdown::Write).ok();
                });
            }
        }
    });
    (address, asked)
}

#[tokio::test]
async fn tunnel_carries_the_batches_to_a_server_that_is_checked() {
    let authority = authority();
    let (server, session) = serve_trusted(&authority);
    let (proxy, asked) = tunnel_to(server);
    let mut options = by(proxy, &format!("https://localhost:{}/x", server.port()));
    options.ca_file = Some(authority.file.clone());
    let mut transport = HttpTransport::new(options).unwrap();
    for seq in 1..=2 {
        assert_eq!(transport.send(&request(seq)).await, Delivery::Accepted);
    }
    drop(transport);
    let seen = tokio::task::spawn_blocking(|| session.join().unwrap()).await.unwrap();
    let seen = String::from_utf8(seen).unwrap();
    assert_eq!(seen.matches("POST /x HTTP/1.1\r\n").count(), 2, "{seen}");
    assert!(seen.contains("x-api-key: canary-k3y\r\n") && !seen.contains("proxy-"), "{seen}");
    let asked = String::from_utf8(asked.lock().unwrap().clone()).unwrap();
    assert_eq!(asked.matches("CONNECT localhost:").count(), 1, "{asked}");
    assert!(!asked.contains("k3y"), "{asked}");
}

#[tokio::test]
async fn stranger_at_the_end_of_a_tunnel_holds_and_sees_no_key() {
    let (authority, stranger) = (authority(), authority());
    let (server, session) = serve_trusted(&stranger);
    let (proxy, _) = tunnel_to(server);
    let mut options = by(proxy, &format!("https://localhost:{}/x", server.port()));
    options.ca_file = Some(authority.file.clone());
    let delivery = send(options).await;
    assert!(matches!(delivery, Delivery::Hold { .. }), "{delivery:?}");
    let seen = tokio::task::spawn_blocking(|| session.join().unwrap()).await.unwrap();
    assert!(seen.is_empty());
}
