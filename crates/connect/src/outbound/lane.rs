//! A lane carries one load after the other, and goes on to the next only when each document was taken or refused. All
//! states of a document use the same lane, so a later one never overtakes an earlier one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fyke_types::Error;

use super::backoff::Backoff;
use super::load::Load;
use super::queue::Queue;
use super::refused::Refused;

/// What an attempt to deliver a load came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The server answered for each document: those that are not named here were taken.
    Answered {
        /// Which the server will never take, and why.
        refused: Vec<(usize, String)>,
        /// Which it may take later.
        again: Vec<usize>,
        /// Why, for the first of those.
        why: String,
    },
    /// No document was taken, or nobody knows: all again.
    Failed {
        /// What happened.
        why: String,
        /// How long the server asks to be left alone.
        wait: Option<Duration>,
    },
    /// The request was too large for the server, which says so.
    TooLarge(String),
    /// Trying again can't help.
    Hopeless(Error),
}

/// Knows how a server takes documents.
#[async_trait]
pub(crate) trait Carrier: Send + Sync {
    /// One attempt to deliver a load.
    async fn carry(&self, load: &Load) -> Attempt;

    /// Where a document was to go, for its dead letter.
    fn place(&self, load: &Load, at: usize) -> String;
}

/// Carries loads of lane `number` until it is dropped or the delivery fails.
pub(super) async fn run(queue: &Queue, number: usize, carrier: Arc<dyn Carrier>, seed: u64) {
    let mut backoff = Backoff::new(queue.limits.retry_first, queue.limits.retry_most, seed ^ number as u64);
    loop {
        let load = queue.next(number).await;
        if let Err(error) = deliver(queue, carrier.as_ref(), load, &mut backoff).await {
            return queue.fail(error);
        }
    }
}

async fn deliver(queue: &Queue, carrier: &dyn Carrier, load: Load, backoff: &mut Backoff) -> Result<(), Error> {
    let mut work = VecDeque::from([load]);
    let mut failing_since: Option<Instant> = None;
    while let Some(load) = work.pop_front() {
        let (why, asked, left) = match carrier.carry(&load).await {
            Attempt::Answered { refused, again, why } => {
                let progress = again.len() < load.len();
                let left = settle(queue, carrier, &load, refused, &again);
                if progress {
                    backoff.reset();
                    failing_since = None;
                }
                let Some(left) = left else { continue };
                (why, None, left)
            }
            Attempt::TooLarge(why) if load.len() <= 1 => {
                settle(queue, carrier, &load, vec![(0, why)], &[]);
                continue;
            }
            Attempt::TooLarge(_) => {
                let (first, second) = load.halves();
                work.push_front(second);
                work.push_front(first);
                continue;
            }
            Attempt::Failed { why, wait } => (why, wait, load),
            Attempt::Hopeless(error) => return Err(error),
        };
        let since = *failing_since.get_or_insert_with(Instant::now);
        if queue.limits.give_up_after.is_some_and(|limit| since.elapsed() >= limit) {
            return Err(Error::unavailable("an output does not take its rows")
                .detail(format!("for {:.1?}: {why}", since.elapsed()))
                .hint("'give_up_after' says how long it is tried; 'off' tries for ever"));
        }
        queue.troubled(&why);
        work.push_front(left);
        tokio::time::sleep(backoff.next(asked)).await;
    }
    Ok(())
}

/// Lets go of what was taken, hands on what was refused, and gives what is left of a load.
fn settle(
    queue: &Queue,
    carrier: &dyn Carrier,
    load: &Load,
    refused: Vec<(usize, String)>,
    again: &[usize],
) -> Option<Load> {
    let refused: Vec<Refused> = refused
        .into_iter()
        .map(|(at, reason)| Refused {
            place: carrier.place(load, at),
            reason,
            raw: load.document(at).to_vec(),
            held: load.bytes_of(at),
        })
        .collect();
    let left = (!again.is_empty()).then(|| load.part(again.iter().copied()));
    let kept = left.as_ref().map_or(0, Load::bytes) + refused.iter().map(|document| document.held).sum::<u64>();
    let taken = load.len().saturating_sub(refused.len() + again.len());
    if !refused.is_empty() {
        queue.refuse(refused);
    }
    queue.delivered(taken, load.bytes().saturating_sub(kept));
    left
}
