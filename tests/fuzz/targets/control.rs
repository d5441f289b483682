//! The control socket against a client that says these bytes: every request is answered or refused,
//! and the connection ends.
#![no_main]

use std::{cell::RefCell, path::Path, sync::Arc, time::Duration};

use collector::{
    clock::SystemClock,
    config::{self, Environment},
    control::server::{Server, View},
    encode::{Compression, json::Json},
    forward::{Forwarder, Handle},
    queue::{self, Owner},
    transport::http::HttpTransport,
};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::{Builder, Runtime},
    time::timeout,
};

/// No client is served for longer.
const LONGEST: Duration = Duration::from_secs(20);

struct World {
    runtime: Runtime,
    home: TempDir,
    _owner: Owner,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let text = format!(
            "buffer:\n  directory: {0}/buffer\n  min_free: 0\ncontrol:\n  socket: {0}/socket\n",
            home.path().display()
        );
        let environment = Environment::new(|_| None);
        let config = config::parse(Path::new("fuzz.yaml"), text.as_bytes(), &environment);
        let config = config.expect("it is right");
        let queue = queue::open(config.queue, None, Arc::new(SystemClock), Duration::ZERO);
        let queue = queue.expect("a new directory");
        let transport = HttpTransport::new(config.http).expect("it is right");
        let encoder = Box::new(Json::new(Compression::None));
        let (_, Handle { status, nudge }) =
            Forwarder::new(config.forward, queue.consumer, encoder, transport);
        let view = View {
            stats: queue.stats,
            forwarder: status,
            nudge,
            inspector: queue.inspector,
        };
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = Server::bind(&config.socket, view).expect("a new socket");
            tokio::spawn(server.serve());
        });
        Self { runtime, home, _owner: queue.owner }
    }
}

fuzz_target!(|bytes: &[u8]| {
    WORLD.with_borrow(|World { runtime, home, .. }| {
        let socket = home.path().join("socket");
        let client = ask(&socket, bytes);
        runtime.block_on(async { timeout(LONGEST, client).await.expect("it ends") });
    });
});

/// Says the bytes and nothing more, and hears the answer out.
async fn ask(socket: &Path, bytes: &[u8]) {
    let mut stream = UnixStream::connect(socket).await.expect("it is served");
    // A server that has had enough closes, and says nothing or something.
    if stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.ok();
        let shown = String::from_utf8_lossy(&heard);
        assert!(heard.is_empty() || shown.starts_with("HTTP/1."), "{shown}");
    }
}
