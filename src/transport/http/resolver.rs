//! Names to addresses, by the system's own resolver. That one can't be interrupted and may hang for
//! half a minute: it runs on a thread of the pool, never on more than one, and nobody waits for it
//! longer than [`PATIENCE`]. Nothing is kept: each connection asks anew.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower_service::Service;

/// The resolver of the system asks its second server after 5 s: this leaves it a moment.
const PATIENCE: Duration = Duration::from_secs(6);
/// An answer that came too late serves the next attempt, if that isn't long after.
const FRESH: Duration = Duration::from_secs(30);
/// The time for connecting is divided among the addresses, so there can't be many.
const MOST_ADDRESSES: usize = 8;

type Found = io::Result<Vec<SocketAddr>>;

/// A question that was put to the system.
#[derive(Debug)]
struct Lookup {
    name: String,
    begun: Instant,
    answer: JoinHandle<Found>,
}

impl Lookup {
    fn begin(name: &str) -> Self {
        let asked = name.to_owned();
        let answer = tokio::task::spawn_blocking(move || lookup(&asked));
        Self { name: name.to_owned(), begun: Instant::now(), answer }
    }

    fn serves(&self, name: &str) -> bool {
        self.name == name && !(self.answer.is_finished() && self.begun.elapsed() > FRESH)
    }
}

/// Clones share the one lookup that may be under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolver {
    current: Arc<Mutex<Option<Lookup>>>,
}

impl Resolver {
    /// Addresses of `name`. Cancel-safe: a lookup that is under way serves the next caller.
    async fn resolve(self, name: String) -> Found {
        let mut current = self.current.lock().await;
        let lookup = match current.take().filter(|lookup| lookup.serves(&name)) {
            Some(lookup) => current.insert(lookup),
            None => current.insert(Lookup::begin(&name)),
        };
        let Ok(found) = timeout(PATIENCE, &mut lookup.answer).await else {
            let text = format!("no answer within {} s", PATIENCE.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        };
        *current = None;
        found.unwrap_or_else(|failed| Err(io::Error::other(failed)))
    }
}

fn lookup(name: &str) -> Found {
    let mut found: Vec<SocketAddr> = (name, 0).to_socket_addrs()?.collect();
    if found.len() > MOST_ADDRESSES {
        // Others the next time: the first ones may be those that are dead.
        fastrand::shuffle(&mut found);
        found.truncate(MOST_ADDRESSES);
    }
    Ok(found)
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.clone().resolve(name.as_str().to_owned());
        Box::pin(async { Ok(resolving.await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn hanging(resolver: &Resolver, name: &str) -> tokio::sync::oneshot::Sender<Found> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let answer = tokio::spawn(async { told.await.unwrap() });
        let lookup = Lookup { name: name.to_owned(), begun: Instant::now(), answer };
        *resolver.current.try_lock().unwrap() = Some(lookup);
        tell
    }

    fn address() -> SocketAddr {
        "192.0.2.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn name_of_this_machine_has_a_loopback_address() {
        let resolver = Resolver::default();
        for _ in 0..2 {
            let found = resolver.clone().resolve("localhost".to_owned()).await.unwrap();
            assert!(found.iter().any(|address| address.ip().is_loopback()), "{found:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lookup_that_hangs_ends_in_time_and_its_late_answer_serves_the_next_attempt() {
        let resolver = Resolver::default();
        let tell = hanging(&resolver, "slow.example");
        for _ in 0..2 {
            let asked = resolver.clone().resolve("slow.example".to_owned());
            let error = timeout(Duration::from_secs(10), asked).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        tell.send(Ok(vec![address()])).unwrap();
        let found = resolver.clone().resolve("slow.example".to_owned()).await.unwrap();
        assert_eq!(found, [address()]);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_lookup_is_taken_up_again() {
        let resolver = Resolver::default();
        let tell = hanging(&resolver, "slow.example");
        let asked = resolver.clone().resolve("slow.example".to_owned());
        assert!(timeout(Duration::from_secs(1), asked).await.is_err());
        tell.send(Ok(vec![address()])).unwrap();
        let found = resolver.clone().resolve("slow.example".to_owned()).await.unwrap();
        assert_eq!(found, [address()]);
    }

    #[tokio::test(start_paused = true)]
    async fn answer_to_an_old_question_or_another_one_is_no_answer() {
        let old = Lookup {
            name: "a".to_owned(),
            begun: Instant::now(),
            answer: tokio::spawn(async { Ok(vec![address()]) }),
        };
        assert!(old.serves("a") && !old.serves("b"));
        tokio::time::advance(FRESH + Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        assert!(old.answer.is_finished() && !old.serves("a"));
        let running = Lookup { answer: tokio::spawn(pending()), ..old };
        assert!(running.serves("a"));
    }
}
