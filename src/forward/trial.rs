//! Which samples of a refused batch are to blame: what to ask the server next, and what its answers
//! say. Pure; it sends nothing and waits for nothing.
//!
//! A sample is condemned when the server refused it alone after it had accepted another one, and
//! not otherwise: a server that refuses everything says nothing about a sample. Pieces are asked
//! about in order, so a sample is passed only by those that follow one the server has just refused.

use std::collections::BTreeSet;

use crate::queue::{Entry, Refusal};

/// Refusals in a row after which the server itself is in doubt.
const DOUBT: usize = 24;

/// Something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// So many of those that come next in order.
    Untested(usize),
    /// The first so many of the suspects, together.
    Suspects(usize),
    /// The suspect at this place, alone and once more: the server has accepted something since.
    Again(usize),
    /// A sample that the server has accepted before: whether it still does.
    Control,
}

impl Piece {
    /// The same with only `count` samples, as many as fit into a request.
    pub(super) fn of(self, count: usize) -> Self {
        match self {
            Self::Untested(_) => Self::Untested(count),
            Self::Suspects(_) => Self::Suspects(count),
            Self::Again(_) | Self::Control => self,
        }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Ask the server.
    Send(Piece),
    /// Set these aside.
    Condemn(Vec<(Entry, Refusal)>),
    /// It seems to be us and not the data: wait, then [`Trial::resume`].
    Hold,
    /// Nothing is left to judge.
    Done,
}

/// How far the case against a suspect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Refused when nothing had been accepted: that may have been the server's fault.
    Open,
    /// Refused after something was accepted.
    Strong,
    /// Refused between two acceptances.
    Closed,
}

#[derive(Debug)]
struct Suspect {
    entry: Entry,
    refusal: Refusal,
    case: Case,
}

/// Where the questions stand when the server is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// It isn't.
    No,
    /// Wait.
    Held,
    /// Ask about what was asked about before.
    Known,
    /// Ask about the next sample.
    Next,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trial {
    /// In order; all come after the suspects.
    untested: Vec<Entry>,
    /// Among so many of the first untested there is one that the server refuses.
    tainted: usize,
    /// Refused alone, in order.
    suspects: Vec<Suspect>,
    /// Accepted last.
    control: Option<Entry>,
    /// No piece is larger.
    largest: usize,
    /// Refusals since the last acceptance.
    refusals: usize,
    /// Whether all that follows the first suspect was refused together.
    rest_refused: bool,
    probe: Probe,
    /// Whose turn it is among the suspects, when nobody else is left to ask about in a hold.
    turn: usize,
}

impl Trial {
    /// Of a batch that was refused.
    pub(super) fn new(batch: Vec<Entry>, refusal: Refusal) -> Self {
        let count = batch.len();
        let mut trial = Self {
            untested: batch,
            tainted: 0,
            suspects: Vec::new(),
            control: None,
            largest: usize::MAX,
            turn: 0,
            refusals: 0,
            rest_refused: false,
            probe: Probe::No,
        };
        trial.refused(Piece::Untested(count), refusal);
        trial
    }

    /// Asks first whether the server still takes `control`, which it took before this trial.
    pub(super) fn check_by(&mut self, control: Entry) {
        self.control = Some(control);
        self.probe = Probe::Known;
    }

    /// What to do next; what is condemned is handed out once.
    pub(super) fn next(&mut self) -> Step {
        let condemned = self.condemned();
        if !condemned.is_empty() {
            return Step::Condemn(condemned);
        }
        match self.probe {
            _ if self.open() == 0 => Step::Done,
            Probe::No => self.ask(),
            Probe::Held => Step::Hold,
            Probe::Known if self.control.is_some() => Step::Send(Piece::Control),
            Probe::Known if !self.suspects.is_empty() => {
                Step::Send(Piece::Suspects(self.suspects.len().min(self.largest)))
            }
            Probe::Known | Probe::Next if !self.untested.is_empty() => {
                Step::Send(Piece::Untested(1))
            }
            // One of them is to blame perhaps, and hides that the others are accepted by now.
            Probe::Next if self.suspects.len() > 1 => {
                self.turn = (self.turn + 1) % self.suspects.len();
                Step::Send(Piece::Again(self.turn))
            }
            Probe::Known | Probe::Next => {
                self.probe = Probe::Held;
                Step::Hold
            }
        }
    }

    fn ask(&mut self) -> Step {
        if self.refusals >= DOUBT {
            return self.doubt();
        }
        let open = self.suspects.iter().position(|suspect| suspect.case == Case::Open);
        match open.filter(|_| self.control.is_some()) {
            Some(open) => Step::Send(Piece::Again(open)),
            None if !self.untested.is_empty() => Step::Send(Piece::Untested(self.next_size())),
            None => self.doubt(),
        }
    }

    /// The server may have changed its mind since it accepted something, or it accepts nothing.
    fn doubt(&mut self) -> Step {
        if self.control.is_some() {
            return Step::Send(Piece::Control);
        }
        self.probe = Probe::Held;
        Step::Hold
    }

    /// How many of the untested to ask about: the half of what is tainted, to narrow it down; all,
    /// when nothing is known of them.
    fn next_size(&self) -> usize {
        let all = self.untested.len();
        let size = match self.tainted {
            // What is looked for now is one that is accepted.
            _ if self.control.is_none() && self.rest_refused => 1,
            0 => all,
            tainted => (tainted / 2).max(1),
        };
        size.min(self.largest)
    }

    /// A piece of `count` samples was accepted: these have left. Cases that were strong are closed.
    pub(super) fn accepted(&mut self, piece: Piece, count: usize) -> Vec<Entry> {
        let taken: Vec<Entry> = match piece {
            Piece::Untested(_) => {
                self.tainted = self.tainted.saturating_sub(count);
                self.untested.drain(..count).collect()
            }
            Piece::Suspects(_) => {
                self.suspects.drain(..count).map(|suspect| suspect.entry).collect()
            }
            Piece::Again(at) => vec![self.suspects.remove(at).entry],
            Piece::Control => Vec::new(),
        };
        self.control = taken.last().cloned().or(self.control.take());
        self.refusals = 0;
        self.probe = Probe::No;
        for suspect in &mut self.suspects {
            if suspect.case == Case::Strong {
                suspect.case = Case::Closed;
            }
        }
        taken
    }

    /// A piece was refused.
    pub(super) fn refused(&mut self, piece: Piece, refusal: Refusal) {
        self.refusals += 1;
        let case = if self.is_trusted() { Case::Strong } else { Case::Open };
        match piece {
            Piece::Untested(1) => {
                let entry = self.untested.remove(0);
                self.suspects.push(Suspect { entry, refusal, case });
                self.tainted = 0;
            }
            Piece::Untested(count) => {
                self.rest_refused |= !self.suspects.is_empty();
                self.tainted = count;
            }
            Piece::Again(at) => {
                let suspect = &mut self.suspects[at];
                (suspect.refusal, suspect.case) = (refusal, case);
            }
            // All that was refused lately may have been the server's fault.
            Piece::Control => self.reopen(),
            Piece::Suspects(_) => {}
        }
        self.probe = match (self.probe, piece) {
            (Probe::No, Piece::Control) | (Probe::Next, _) => Probe::Held,
            (Probe::No, _) => Probe::No,
            (Probe::Known | Probe::Held, _) => Probe::Next,
        };
    }

    /// A piece of `count` samples is too large or takes too long: smaller ones from now on.
    pub(super) fn too_large(&mut self, count: usize) {
        self.largest = (count / 2).max(1);
    }

    /// Whether the server has accepted something and wasn't in doubt since.
    fn is_trusted(&self) -> bool {
        self.control.is_some() && self.probe == Probe::No
    }

    fn reopen(&mut self) {
        for suspect in &mut self.suspects {
            suspect.case = Case::Open;
        }
    }

    /// Those whose case is closed; and the last suspect when nothing else is left to ask about: the
    /// server accepted another one before it.
    fn condemned(&mut self) -> Vec<(Entry, Refusal)> {
        if let ([last], []) = (&mut *self.suspects, &*self.untested)
            && last.case == Case::Strong
        {
            last.case = Case::Closed;
        }
        let closed = self.suspects.extract_if(.., |suspect| suspect.case == Case::Closed);
        closed.map(|suspect| (suspect.entry, suspect.refusal)).collect()
    }

    /// After a hold: asks again. `queued` are the oldest entries of the queue now, those of this
    /// trial that are still there and perhaps newer ones.
    pub(super) fn resume(&mut self, queued: Vec<Entry>) {
        let present: BTreeSet<_> = queued.iter().map(identity).collect();
        self.suspects.retain(|suspect| present.contains(&identity(&suspect.entry)));
        let suspects: BTreeSet<_> =
            self.suspects.iter().map(|suspect| identity(&suspect.entry)).collect();
        self.untested = queued;
        self.untested.retain(|entry| !suspects.contains(&identity(entry)));
        self.tainted = self.tainted.min(self.untested.len());
        self.probe = Probe::Known;
    }

    /// The entries of a piece.
    pub(super) fn entries(&self, piece: Piece) -> Vec<Entry> {
        let suspects = self.suspects.iter().map(|suspect| suspect.entry.clone());
        match piece {
            Piece::Untested(count) => self.untested[..count].to_vec(),
            Piece::Suspects(count) => suspects.take(count).collect(),
            Piece::Again(at) => suspects.skip(at).take(1).collect(),
            Piece::Control => self.control.clone().into_iter().collect(),
        }
    }

    /// Entries that aren't judged.
    pub(super) fn open(&self) -> usize {
        self.suspects.len() + self.untested.len()
    }

    /// Whether the next piece must follow at once: it passes suspects that were refused just now, and
    /// must not meet a server that has recovered since.
    pub(super) fn is_urgent(&self) -> bool {
        self.probe == Probe::Next
    }

    /// Whether another sample is what it takes to go on.
    pub(super) fn wants_more(&self) -> bool {
        self.untested.is_empty()
    }

    /// Whether the server was asked about one sample only, so that the next one will tell.
    pub(super) fn is_of_one(&self) -> bool {
        self.untested.is_empty() && self.suspects.len() == 1 && self.control.is_none()
    }
}

fn identity(entry: &Entry) -> (uuid::Uuid, u64) {
    (entry.agent_id, entry.seq)
}

#[cfg(test)]
mod tests;
