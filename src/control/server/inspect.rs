//! Answers to the tools that look into the queue. A page is in memory whole, never more than one a
//! client; what takes longer is told line by line.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, channel::Sender};
use hyper::{Request, Response, StatusCode, body::Incoming};
use tokio::sync::{mpsc, watch};

use super::{Body, Job, View, asked, line, narrate, ndjson, stream, text};
use crate::{
    control::{
        DeadLettersAsked, DeadLettersEvent, PageEvent, PageRequest, PurgeEvent, PurgeRequest,
        ShownLetter, ShownPage, VerifyEvent,
    },
    queue::{Inspector, QueueError},
};

pub(super) async fn page(request: Request<Incoming>, view: &View) -> Response<Body> {
    let Some(PageRequest { from, max_samples }) = asked(request).await else {
        return text(
            StatusCode::BAD_REQUEST,
            "expected {\"from\": number, \"max_samples\": number}\n",
        );
    };
    let mut lines = Vec::new();
    match view.inspector.page(from, max_samples).await {
        Ok(page) => {
            ShownPage::new(&page).into_events().for_each(|event| lines.extend(line(&event)));
        }
        Err(error) => lines.extend(line(&PageEvent::Failed(error.to_string()))),
    }
    ndjson(Full::from(lines).boxed_unsync())
}

pub(super) async fn verify(view: View, jobs: mpsc::Sender<Job>) -> Response<Body> {
    stream(jobs, |lines| examine(view.inspector, lines)).await
}

async fn examine(inspector: Inspector, lines: Sender<Bytes, Infallible>) {
    let work = |steps: watch::Sender<_>| async move {
        let verdict = inspector.verify(|part| {
            // A part that the client is too slow to hear of stands in the verdict as well.
            steps.send_replace(Some(VerifyEvent::Part(part.clone())));
        });
        verdict.await.map_or_else(|e| VerifyEvent::Failed(e.to_string()), VerifyEvent::Done)
    };
    narrate(work, lines).await;
}

pub(super) async fn purge(
    request: Request<Incoming>,
    view: View,
    jobs: mpsc::Sender<Job>,
) -> Response<Body> {
    let Some(asked) = asked(request).await else {
        return text(
            StatusCode::BAD_REQUEST,
            "expected {\"selection\": \"all\" or {\"older_than\": time}, \"commit\": true or false}\n",
        );
    };
    stream(jobs, |lines| throw_away(view.inspector, asked, lines)).await
}

async fn throw_away(inspector: Inspector, asked: PurgeRequest, lines: Sender<Bytes, Infallible>) {
    let PurgeRequest { selection, commit } = asked;
    let work = |steps: watch::Sender<_>| async move {
        let progress = |gone| {
            steps.send_replace(Some(PurgeEvent::Progress(gone)));
        };
        let amount = if commit {
            inspector.purge(selection, progress).await
        } else {
            inspector.measure(selection).await
        };
        amount.map_or_else(|error| PurgeEvent::Failed(error.to_string()), PurgeEvent::Done)
    };
    narrate(work, lines).await;
}

pub(super) async fn dead_letters(request: Request<Incoming>, view: &View) -> Response<Body> {
    let Some(wanted) = asked(request).await else {
        return text(
            StatusCode::BAD_REQUEST,
            "expected {\"list\": {\"from\": number, \"max\": number}}, {\"retry\": which} or {\"purge\": which}\n",
        );
    };
    let mut lines = Vec::new();
    let end = match letters(&view.inspector, wanted, &mut lines).await {
        Ok(count) => DeadLettersEvent::Done(count),
        Err(error) => DeadLettersEvent::Failed(error.to_string()),
    };
    lines.extend(line(&end));
    ndjson(Full::from(lines).boxed_unsync())
}

async fn letters(
    inspector: &Inspector,
    wanted: DeadLettersAsked,
    lines: &mut Vec<u8>,
) -> Result<u64, QueueError> {
    match wanted {
        DeadLettersAsked::List { from, max } => {
            let letters = inspector.dead_letters(from, max).await?;
            for letter in &letters {
                lines.extend(line(&DeadLettersEvent::Letter(Box::new(ShownLetter::new(letter)))));
            }
            Ok(letters.len() as u64)
        }
        DeadLettersAsked::Retry(which) => inspector.retry_dead_letters(which).await,
        DeadLettersAsked::Purge(which) => inspector.purge_dead_letters(which).await,
    }
}
