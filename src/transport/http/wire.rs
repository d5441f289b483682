//! A stream that counts what passes, and ends when a server sends more than it may. The counts tell
//! whether a server had seen the whole request when it answered, and whether a broken connection had
//! begun to answer.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// A server that sends a larger head of an answer is refused.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// Bytes that passed a [`Wire`], above TLS. They only rise.
#[derive(Debug)]
pub(super) struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
    /// Where reading ends.
    bound: AtomicU64,
    begun: Instant,
    /// When something was written last, in milliseconds after `begun`.
    written_at: AtomicU64,
}

impl Traffic {
    /// Of a stream of which `bytes` may be read.
    pub(super) fn bounded(bytes: u64) -> Arc<Self> {
        let [read, written, bound, written_at] = [0; 4].map(AtomicU64::new);
        let traffic = Arc::new(Self { read, written, bound, begun: Instant::now(), written_at });
        traffic.allow(bytes);
        traffic
    }

    /// From now on so many bytes may be read.
    pub(super) fn allow(&self, bytes: u64) {
        self.bound.store(self.read() + bytes, Ordering::Relaxed);
    }

    fn is_exhausted(&self) -> bool {
        self.read() > self.bound.load(Ordering::Relaxed)
    }

    /// How long nothing was written.
    pub(super) fn quiet(&self) -> Duration {
        let at = Duration::from_millis(self.written_at.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(at)
    }

    /// Bytes that the server has sent.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that were handed to the socket.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    traffic: Arc<Traffic>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, traffic: Arc<Traffic>) -> Self {
        Self { stream, traffic }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn count(&self, written: usize) -> usize {
        self.traffic.written.fetch_add(written as u64, Ordering::Relaxed);
        let at = self.traffic.begun.elapsed().as_millis();
        self.traffic.written_at.store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.traffic.is_exhausted() {
            return Poll::Ready(Err(io::Error::other("the answer is too long")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        self.traffic.read.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        Poll::Ready(Ok(self.count(written)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        Poll::Ready(Ok(self.count(written)))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
