//! The forwarder's transport against a server that says these bytes:
//! whatever it says, the exchange ends, and only a 2xx is taken for an acknowledgement.
#![no_main]

use std::{cell::RefCell, net::Ipv4Addr, path::Path};

use collector::{
    config::{self, Environment},
    encode::Request,
    transport::{Delivery, Transport, http::HttpTransport},
};
use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

/// So many addresses take turns: one port pair can't be used again at once.
const ADDRESSES: u8 = 100;

struct World {
    runtime: Runtime,
    listeners: Vec<TcpListener>,
    turn: usize,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listen = |last| {
            let address = (Ipv4Addr::new(127, 0, 0, last), 0);
            runtime.block_on(TcpListener::bind(address)).expect("a free port")
        };
        // Linux has all of 127/8, others only its first address.
        let last = if cfg!(target_os = "linux") { ADDRESSES } else { 1 };
        let listeners = (1..=last).map(listen).collect();
        Self { runtime, listeners, turn: 0 }
    }
}

fuzz_target!(|bytes: &[u8]| {
    WORLD.with_borrow_mut(|World { runtime, listeners, turn }| {
        *turn = (*turn + 1) % listeners.len();
        runtime.block_on(exchanges(&listeners[*turn], bytes));
    });
});

async fn exchanges(listener: &TcpListener, bytes: &[u8]) {
    let address = listener.local_addr().expect("it is bound");
    let text = format!(
        "collector:\n  server_url: http://{address}\n  api_key: canary-4711\nforwarder:\n  timeout: 2\n"
    );
    let environment = Environment::new(|_| None);
    let config = config::parse(Path::new("fuzz.yaml"), text.as_bytes(), &environment);
    let mut transport = HttpTransport::new(config.expect("it is right").http).expect("it is right");
    let client = async {
        // The second would meet what the first left behind.
        for seq in 1..=2 {
            let delivery = transport.send(&request(seq)).await;
            assert!(!format!("{delivery:?}").contains("canary-4711"), "{delivery:?}");
            if delivery == Delivery::Accepted {
                let found = bytes.windows(10).any(|start| {
                    start.starts_with(b"HTTP/1.") && start[8] == b' ' && start[9] == b'2'
                });
                assert!(found, "nothing like a 2xx was said");
            }
        }
        drop(transport);
    };
    let server = async {
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            answer(stream, bytes).await;
        }
    };
    tokio::select! { () = client => {}, () = server => {} }
}

/// Reads something, says the bytes and closes.
async fn answer(mut stream: TcpStream, bytes: &[u8]) {
    let mut heard = [0; 4096];
    if matches!(stream.read(&mut heard).await, Ok(1..)) && stream.write_all(bytes).await.is_ok() {
        stream.shutdown().await.ok();
    }
}

fn request(seq: u64) -> Request {
    Request {
        content_type: "application/json",
        content_encoding: None,
        idempotency_key: format!("\"fuzz:{seq}-{seq}:00000000\""),
        body: "{}".into(),
        plain_bytes: 2,
        first_seq: seq,
        last_seq: seq,
        samples: 1,
    }
}
