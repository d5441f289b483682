//! Why there was no answer: connecting failed, the connection broke, or time ran out. Tells a
//! server whose identity is refused from a network that fails.

use std::{error::Error, io, time::Duration};

use rustls::AlertDescription as Alert;

use super::{Delivery, Late, Reason, proxy::Refusal};

/// An exchange without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One side refuses the other's certificate, or the proxy refuses us.
    Refused,
    /// The proxy isn't willing now; what it asks for in `Retry-After`.
    Later(Option<Duration>),
    /// The connection ended before a byte of an answer.
    Unanswered,
    /// Time ran out on a request that had begun to leave.
    Late(Late),
    /// Anything else: it may work the next time.
    Transport,
}

impl Failure {
    /// Connecting failed; `route` says where to.
    pub(super) fn connect(route: &str, error: &(dyn Error + 'static)) -> Self {
        let refusal = chain(error).find_map(|error| error.downcast_ref::<Refusal>());
        let kind = match refusal {
            Some(Refusal { is_final: false, after, .. }) => Kind::Later(*after),
            Some(_) => Kind::Refused,
            None if refuses_identity(error) => Kind::Refused,
            None => Kind::Transport,
        };
        Self { kind, text: format!("{} ({route})", describe(error)) }
    }

    /// Connecting took too long; `route` says where to.
    pub(super) fn connect_timeout(route: &str, after: Duration) -> Self {
        let text = format!("connecting timed out after {} ({route})", seconds(after));
        Self { kind: Kind::Transport, text }
    }

    /// The connection broke, or carried what isn't HTTP.
    pub(super) fn exchange(error: &hyper::Error, unanswered: bool) -> Self {
        let kind = match () {
            // With TLS 1.3 a server refuses our certificate only after its own handshake is over.
            () if refuses_identity(error) => Kind::Refused,
            () if unanswered => Kind::Unanswered,
            () => Kind::Transport,
        };
        Self { kind, text: describe(error) }
    }

    /// No answer in time; `late` is what the link did meanwhile.
    pub(super) fn timeout(after: Duration, late: Late) -> Self {
        let slow = if late == Late::Moving { ": the request was still being sent" } else { "" };
        let text = format!("no complete answer within {}{slow}", seconds(after));
        Self { kind: Kind::Late(late), text }
    }

    /// Whether a kept connection fails like this when the server had closed it while it was idle.
    pub(super) fn is_unanswered(&self) -> bool {
        self.kind == Kind::Unanswered
    }

    pub(super) fn into_reason(self) -> Reason {
        Reason { status: None, text: self.text }
    }

    pub(super) fn into_delivery(self) -> Delivery {
        let (after, late) = match self.kind {
            Kind::Refused => return Delivery::Hold { reason: self.into_reason() },
            Kind::Later(after) => (after, Late::No),
            Kind::Late(late) => (None, late),
            Kind::Unanswered | Kind::Transport => (None, Late::No),
        };
        Delivery::Retry { after, reason: self.into_reason(), late }
    }
}

/// Whether somewhere in the chain a certificate was refused, by us or by the server.
fn refuses_identity(error: &(dyn Error + 'static)) -> bool {
    chain(error).filter_map(|error| error.downcast_ref::<rustls::Error>()).any(|error| {
        matches!(
            error,
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::AlertReceived(
                    Alert::CertificateRequired
                        | Alert::BadCertificate
                        | Alert::UnsupportedCertificate
                        | Alert::CertificateRevoked
                        | Alert::CertificateExpired
                        | Alert::CertificateUnknown
                        | Alert::UnknownCA
                        | Alert::AccessDenied
                        // An authority of the same name, with another key.
                        | Alert::DecryptError
                )
        )
    })
}

/// The error and what caused it. An `io::Error` made from another error hides that one from
/// `source()`, so it is looked into.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// How the library names a server that shows the certificate of an authority, as self-signed ones
/// often are; and what that means to a person.
const AUTHORITY: &str = "CaUsedAsEndEntity";
const AUTHORITY_SHOWN: &str = "invalid peer certificate: it is an authority's own (CA:TRUE), and a \
                               server needs one that isn't; let the authority sign another";

/// The chain in one line, without what is said twice and without the numbers of the system.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in chain(error) {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        let text = if text.contains(AUTHORITY) { AUTHORITY_SHOWN } else { text };
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.raw_os_error().is_some()
        {
            // The system's word says it all: "connection refused".
            return text.to_ascii_lowercase();
        }
        if parts.last().is_none_or(|last| !last.ends_with(text)) {
            parts.push(text.to_owned());
        }
    }
    parts.join(": ")
}

fn seconds(time: Duration) -> String {
    // What is left of the configured time after connecting is a hair off it.
    let steps = if time >= Duration::from_secs(1) { 10.0 } else { 1e3 };
    format!("{} s", time.as_secs_f64().mul_add(steps, 0.5).floor() / steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_one_line_with_the_address() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failure = Failure::connect("127.0.0.1:8000", &refused);
        assert_eq!(failure.into_reason().text, "connection refused (127.0.0.1:8000)");
    }

    #[test]
    fn times_are_told_as_they_were_configured() {
        for (millis, told) in [(29_987, "30 s"), (2_500, "2.5 s"), (999, "0.999 s"), (0, "0 s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), told);
        }
    }

    #[test]
    fn certificate_of_an_authority_is_told_in_words() {
        let other = rustls::OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity")));
        let error = rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other));
        let failure = Failure::connect("example.org:443", &io::Error::other(error));
        let text = failure.into_reason().text;
        assert!(text.contains("CA:TRUE") && !text.contains("OtherError"), "{text}");
    }

    #[test]
    fn refused_certificate_holds_wherever_it_hides_in_the_chain() {
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let failure =
            Failure::connect("example.org:443", &io::Error::other(io::Error::other(expired)));
        let Delivery::Hold { reason } = failure.into_delivery() else { panic!("must hold") };
        assert!(reason.text.ends_with("(example.org:443)"), "{reason}");
        let broken = rustls::Error::AlertReceived(Alert::HandshakeFailure);
        let failure = Failure::connect("example.org:443", &io::Error::other(broken));
        assert!(matches!(failure.into_delivery(), Delivery::Retry { after: None, .. }));
    }
}
