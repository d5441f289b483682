//! What servers do wrong on the wire, as data: each fault by name, with what must become of the
//! batch that met it.

use std::{io::Write as _, time::Duration};

use super::{Step, repeat, say};

/// What must become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    Retry,
    Hold,
}

/// What a server does once it has read the request.
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) fate: Fate,
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const BUSY_CHUNKED: &str = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n";
const PAUSE: Duration = Duration::from_millis(40);

/// All of them.
pub(crate) fn faults() -> Vec<Fault> {
    [heads(), lengths(), bodies(), ends(), statuses()].into_iter().flatten().collect()
}

fn fault(name: &str, fate: Fate, steps: Vec<Step>) -> Fault {
    Fault { name: name.to_owned(), steps, fate }
}

/// The answer and then silence.
fn text(name: &str, fate: Fate, answer: &str) -> Fault {
    fault(name, fate, vec![say(answer), Step::Wait])
}

/// What stands in the place of a head, or goes before it.
fn heads() -> Vec<Fault> {
    use Fate::Retry;
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n";
    let late = format!("{}HTTP/1.1 200 OK\r\n\r\n", hints.repeat(100_000));
    vec![
        fault("silence", Retry, vec![Step::Wait]),
        fault("slow head", Retry, vec![Step::Drip(b"HTTP/1.1 200 OK\r\nX: yyyyyyy".into(), PAUSE)]),
        text("half a head", Retry, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"),
        text("1 MB header", Retry, &huge),
        text("10,000 headers", Retry, &many),
        fault("endless header", Retry, vec![say("HTTP/1.1 200 OK\r\nX: "), repeat("xxxxxxxx")]),
        fault("endless 100", Retry, vec![repeat("HTTP/1.1 100 Continue\r\n\r\n")]),
        fault("endless 103", Retry, vec![repeat(hints)]),
        text("103 a hundred thousand times", Retry, &late),
        text("101", Retry, "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        text("SSH banner", Retry, "SSH-2.0-OpenSSH_9.9\r\n"),
        fault("TLS bytes", Retry, vec![Step::Say(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76".into())]),
        fault("zeros", Retry, vec![Step::Repeat(vec![0; 4096])]),
        fault("HTTP/2", Retry, vec![Step::Say(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0".into())]),
        text("an HTML page", Retry, "<html><body>200 OK</body></html>\r\n\r\n"),
        text("version 9.9", Retry, "HTTP/9.9 200 OK\r\n\r\n"),
        text("status 000", Retry, "HTTP/1.1 000 Zero\r\n\r\n"),
        text("status 2000", Retry, "HTTP/1.1 2000 Much\r\n\r\n"),
        text("status -20", Retry, "HTTP/1.1 -20 Minus\r\n\r\n"),
        text("NUL in a header", Retry, "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
        text("header without a colon", Retry, "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
    ]
}

/// Lengths that lie.
fn lengths() -> Vec<Fault> {
    let with = |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    vec![
        text("length -1", Fate::Retry, &with("-1")),
        text("length of letters", Fate::Retry, &with("many")),
        text("length beyond 64 bits", Fate::Retry, &with("99999999999999999999")),
        text("two lengths", Fate::Retry, two),
        fault("length too big", Fate::Accepted, vec![say(&with("100")), say("cut")]),
        text("length too small", Fate::Accepted, &format!("{}too much", with("2"))),
        text("chunk size of letters", Fate::Accepted, &format!("{CHUNKED}many\r\n")),
        text("chunk beyond 64 bits", Fate::Accepted, &format!("{CHUNKED}ffffffffffffffffff\r\nx")),
        text(
            "busy, chunk beyond 64 bits",
            Fate::Retry,
            &format!("{BUSY_CHUNKED}fffffffffffffffffff"),
        ),
    ]
}

/// Bodies without end; the verdict is known before.
fn bodies() -> Vec<Fault> {
    let coded = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\nContent-Length: ");
        let bomb = bomb();
        [head.as_bytes(), format!("{}\r\n\r\n", bomb.len()).as_bytes(), &bomb].concat()
    };
    let mut both = Vec::new();
    for (status, fate) in [("200 OK", Fate::Accepted), ("503 Busy", Fate::Retry)] {
        let chunked = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let sized = format!("HTTP/1.1 {status}\r\nContent-Length: 1000000000\r\n\r\n");
        let unsized_ = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
        let named = |what: &str, steps| fault(&format!("{status}, {what}"), fate, steps);
        both.extend([
            named("endless body", vec![say(&unsized_), repeat("xxxxxxxx")]),
            named("slow body", vec![say(&sized), Step::Drip(b"x".repeat(100), PAUSE)]),
            named("body that never comes", vec![say(&sized), Step::Wait]),
            named("endless chunks", vec![say(&chunked), repeat("1\r\nx\r\n")]),
            named("endless chunk extension", vec![say(&chunked), say("1;"), repeat("xxxxxxxx")]),
            named("endless trailers", vec![say(&chunked), say("0\r\n"), repeat("Trailer: x\r\n")]),
            named("gzip bomb", vec![Step::Say(coded(status)), Step::Wait]),
        ]);
    }
    both
}

/// 64 MiB of nothing.
fn bomb() -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        coder.write_all(&zeros).unwrap();
    }
    coder.finish().unwrap()
}

/// Connections that end.
fn ends() -> Vec<Fault> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    vec![
        fault("close", Fate::Retry, vec![]),
        fault("reset", Fate::Retry, vec![Step::Reset]),
        fault("close within the status", Fate::Retry, vec![say("HTTP/1.1 2")]),
        fault("close within the head", Fate::Retry, vec![say("HTTP/1.1 200 OK\r\nX: y\r\n")]),
        fault("reset within the head", Fate::Retry, vec![say("HTTP/1.1 200 O"), Step::Reset]),
        fault(
            "reset within the body",
            Fate::Accepted,
            vec![say(CHUNKED), say("1\r\n"), Step::Reset],
        ),
        text("two answers", Fate::Accepted, &format!("{ok}{ok}")),
        text("an answer and garbage", Fate::Accepted, &format!("{ok}garbage")),
        text(
            "a lying keep-alive",
            Fate::Accepted,
            &ok.replace("OK\r\n", "OK\r\nConnection: close\r\n"),
        ),
    ]
}

/// Refusals that are clear, and those that lead elsewhere; the server closes.
fn statuses() -> Vec<Fault> {
    let text = |name: &str, fate, answer: &str| fault(name, fate, vec![say(answer)]);
    let with = |status: u16, headers: &str| {
        format!("HTTP/1.1 {status} Because\r\n{headers}Content-Length: 0\r\n\r\n")
    };
    let mut all = Vec::new();
    for status in [401, 402, 403, 404, 405, 406, 407, 410, 415, 421, 426, 431, 451, 501, 505] {
        all.push(text(&status.to_string(), Fate::Hold, &with(status, "")));
    }
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 599, 600, 999] {
        all.push(text(&status.to_string(), Fate::Retry, &with(status, "Retry-After: -1\r\n")));
    }
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let target = "Location: http://169.254.169.254/latest\r\n";
        all.push(text(&status.to_string(), Fate::Hold, &with(status, target)));
    }
    all
}
