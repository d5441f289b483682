//! What can go wrong, by name.

use std::time::Duration;

use crate::{relay::Weather, server::Mode};

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The next byte resets the connection.
    Resets,
    /// Requests arrive; the first byte of the answer resets the connection.
    ResetAnswers,
    /// Bytes vanish, connections stay.
    BlackHole,
    /// Requests arrive, answers vanish.
    AnswersVanish,
    /// Everything comes late.
    Latency,
    /// A link that is too slow for large requests.
    SlowLink,
    /// 503.
    Unavailable,
    /// 500.
    Broken,
    /// 401.
    Unauthorized,
    /// 413 for all but small requests.
    TooLarge,
    /// 400 for one sample, for ever.
    BadSample,
    /// The server reads and doesn't answer.
    Hang,
    /// 200, and a body without end.
    SlowBody,
    /// 503, and a body without end.
    SlowRefusal,
    /// Connections are closed as soon as they are open.
    Closed,
    /// Nobody listens.
    Refused,
}

/// Where a fault is.
pub(crate) enum Place {
    Link(Weather),
    /// The mode, and the answer by which its strikes are counted (0: none).
    Server(Mode, u16),
    /// The sample.
    Sample,
    /// Whether the relay is gone as well.
    Down(bool),
}

impl Fault {
    pub(crate) const ALL: [Self; 16] = [
        Self::Resets,
        Self::ResetAnswers,
        Self::BlackHole,
        Self::AnswersVanish,
        Self::Latency,
        Self::SlowLink,
        Self::Unavailable,
        Self::Broken,
        Self::Unauthorized,
        Self::TooLarge,
        Self::BadSample,
        Self::Hang,
        Self::SlowBody,
        Self::SlowRefusal,
        Self::Closed,
        Self::Refused,
    ];

    pub(crate) fn place(self) -> Place {
        match self {
            Self::Resets => Place::Link(Weather::Reset),
            Self::ResetAnswers => Place::Link(Weather::ResetAnswers),
            Self::BlackHole => Place::Link(Weather::BlackHole),
            Self::AnswersVanish => Place::Link(Weather::AnswersVanish),
            Self::Latency => Place::Link(Weather::Latency(Duration::from_millis(200))),
            Self::SlowLink => Place::Link(Weather::Bandwidth(20_000)),
            Self::Unavailable => Place::Server(Mode::Answer(503), 503),
            Self::Broken => Place::Server(Mode::Answer(500), 500),
            Self::Unauthorized => Place::Server(Mode::Answer(401), 401),
            Self::TooLarge => Place::Server(Mode::AtMost(2), 413),
            Self::BadSample => Place::Sample,
            Self::Hang => Place::Server(Mode::Hang, 0),
            Self::SlowBody => Place::Server(Mode::Drip(200), 200),
            Self::SlowRefusal => Place::Server(Mode::Drip(503), 503),
            Self::Closed => Place::Down(false),
            Self::Refused => Place::Down(true),
        }
    }
}
