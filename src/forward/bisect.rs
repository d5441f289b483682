//! What becomes of a batch that the server refuses: the trial of its samples, carried out. What is
//! asked and judged is decided in `trial.rs`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Flow, Forwarder, Refused, Signals, Verdict,
    batch::Batch,
    trial::{Piece, Step, Trial},
};
use crate::{
    encode::Limits,
    queue::{Entry, QueueError, Refusal},
    transport::{Reason, Transport},
};

/// Between two requests: at most ten a second.
const PACE: Duration = Duration::from_millis(100);

impl<T: Transport> Forwarder<T> {
    /// Finds the samples to blame and sets them aside; delivers the others. Ends when all of the
    /// batch are judged: while the server refuses everything that is never.
    pub(super) async fn bisect(
        &mut self,
        batch: Batch,
        refused: Refused,
        signals: &mut Signals,
    ) -> Flow {
        let Refused { refusal, reason } = refused;
        self.carry_out(Trial::new(batch.entries, refusal), reason, signals).await
    }

    /// A sample that is too large alone is set aside, if the server still takes one that it took
    /// before: it may be a server to which everything is too large.
    pub(super) async fn too_large_alone(
        &mut self,
        batch: Batch,
        refused: Refused,
        signals: &mut Signals,
    ) -> Flow {
        let Refused { refusal, reason } = refused;
        let mut trial = Trial::new(batch.entries, refusal);
        if let Some(control) = self.last_accepted.clone() {
            trial.check_by(control);
        }
        self.carry_out(trial, reason, signals).await
    }

    /// Carries a trial out; `reason` is the last refusal.
    async fn carry_out(
        &mut self,
        mut trial: Trial,
        mut reason: Reason,
        signals: &mut Signals,
    ) -> Flow {
        self.board.refused(reason.text.clone());
        loop {
            let flow = match trial.next() {
                Step::Done => return Flow::Continue,
                Step::Condemn(condemned) => self.condemn(condemned, signals).await,
                Step::Hold => self.hold_trial(&mut trial, &reason, signals).await,
                Step::Send(piece) => match self.ask(&mut trial, piece, signals).await {
                    Ok(None) => Flow::Continue,
                    Ok(Some(refused)) => {
                        reason = refused;
                        Flow::Continue
                    }
                    Err(Stopped) => Flow::Stop,
                },
            };
            if flow == Flow::Stop {
                return Flow::Stop;
            }
        }
    }

    /// Sends a piece and tells the trial of the answer; returns why it was refused, if it was.
    async fn ask(
        &mut self,
        trial: &mut Trial,
        piece: Piece,
        signals: &mut Signals,
    ) -> Result<Option<Reason>, Stopped> {
        if !trial.is_urgent() && signals.pause_unhurried(Instant::now() + PACE).await == Flow::Stop
        {
            return Err(Stopped);
        }
        let entries = trial.entries(piece);
        let limits = Limits { max_samples: entries.len(), ..self.limit.now() };
        let Some(batch) = self.batch(entries, limits, self.bare()) else { return Ok(None) };
        let count = batch.entries.len();
        let piece = piece.of(count);
        match self.judged(&batch, signals).await {
            Verdict::Accepted => {
                let taken = trial.accepted(piece, count);
                if self.settle(&taken, &[], signals).await == Flow::Stop {
                    return Err(Stopped);
                }
            }
            Verdict::TooLarge(_) | Verdict::TooSlow if count > 1 => {
                self.halve(&batch);
                trial.too_large(count);
            }
            Verdict::Rejected(refused) | Verdict::TooLarge(refused) => {
                return Ok(Some(self.note_refusal(trial, piece, refused)));
            }
            Verdict::TooSlow => {}
            Verdict::Gone => trial.resume(Vec::new()),
            Verdict::Stop => return Err(Stopped),
        }
        Ok(None)
    }

    fn note_refusal(&mut self, trial: &mut Trial, piece: Piece, refused: Refused) -> Reason {
        let Refused { refusal, reason } = refused;
        trial.refused(piece, refusal);
        self.board.refused(reason.text.clone());
        reason
    }

    /// Everything is refused: waits like in any hold. When there was only one sample to ask about,
    /// the next one that comes ends the wait, for it will tell.
    async fn hold_trial(
        &mut self,
        trial: &mut Trial,
        reason: &Reason,
        signals: &mut Signals,
    ) -> Flow {
        if trial.is_of_one() && signals.queued() > trial.open() as u64 {
            // There is another one already.
            return self.resume(trial, signals).await;
        }
        let delay = self.options.retry.max();
        self.pace.failed(delay);
        let text = format!("{reason}; no sample that was tried is accepted");
        self.board.held(text, delay, signals.queued());
        let (known, soonest) = (trial.open() as u64, self.options.retry.initial());
        let mut stats = self.consumer.stats();
        let newer = async {
            sleep(soonest).await;
            let is_newer = stats.wait_for(|stats| stats.queue.samples > known).await.is_ok();
            if !is_newer {
                std::future::pending::<()>().await;
            }
        };
        let flow = tokio::select! {
            biased;
            flow = signals.pause(delay) => flow,
            () = self.transport.changed() => Flow::Continue,
            () = newer, if trial.is_of_one() => Flow::Continue,
        };
        if flow == Flow::Stop { flow } else { self.resume(trial, signals).await }
    }

    async fn resume(&mut self, trial: &mut Trial, signals: &mut Signals) -> Flow {
        match self.queued_of(trial).await {
            Ok(queued) => {
                trial.resume(queued);
                Flow::Continue
            }
            Err(error) => self.queue_failed(&error, signals).await,
        }
    }

    /// What is left of the trial's entries, and one more when that is what it takes.
    async fn queued_of(&mut self, trial: &Trial) -> Result<Vec<Entry>, QueueError> {
        let has_room = trial.open() < self.options.limits.max_samples.max(2);
        let more = usize::from(trial.wants_more() && has_room);
        let wanted = trial.open() + more;
        let mut queued = self.consumer.peek(wanted, u64::MAX).await?;
        if let Some(last) = queued.last().filter(|_| queued.len() < wanted) {
            // What the trial is about may be the last of its part of the queue.
            let behind = self.consumer.behind(last.seq).await?;
            queued.extend(behind);
        }
        Ok(queued)
    }

    /// Sets aside what the server refused alone, each with its refusal.
    pub(super) async fn condemn(
        &mut self,
        condemned: Vec<(Entry, Refusal)>,
        signals: &mut Signals,
    ) -> Flow {
        for (entry, refusal) in condemned {
            let alone = std::slice::from_ref(&entry);
            let set_aside = loop {
                match self.consumer.dead_letter(alone, refusal.clone()).await {
                    Ok(count) => break count,
                    Err(error) if self.queue_failed(&error, signals).await == Flow::Stop => {
                        return Flow::Stop;
                    }
                    Err(_) => {}
                }
            };
            // It may have been dropped meanwhile, and is counted as such.
            if set_aside > 0 {
                self.board.dead_lettered(entry.seq, &refusal);
            }
        }
        Flow::Continue
    }
}

/// The forwarder stops.
struct Stopped;
