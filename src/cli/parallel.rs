//! Many projects on all cores, answers in order, memory bounded.
//!
//! Chunk `i` belongs to worker `i` modulo the number of workers, and each worker has a channel of its own that
//! holds two chunks at most: whoever is ahead waits, and the reader takes the chunks in turn.

use std::{num::NonZero, sync::mpsc, thread};

use crate::pipeline::Site;

/// Projects a chunk: large enough to make a channel cheap, small enough to keep little in flight.
const CHUNK: usize = 128;

/// A site of a thread's own, where there are many projects: threads that count references to the same template
/// and patches would spend half of their time waiting for each other.
pub(super) fn own_site<T>(site: &Site, items: &[T]) -> Option<Site> {
    (items.len() > CHUNK).then(|| site.separate())
}

/// Calls `work` for each item, on several threads, and `take` with each answer in the order of the items. Ends
/// early with the first error of `take`. Each thread calls `init` once, for a state of its own.
///
/// # Errors
/// The first error of `take`.
pub(super) fn ordered<T: Sync, S, R: Send, E>(
    items: &[T],
    init: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let chunks: Vec<&[T]> = items.chunks(CHUNK).collect();
    let workers = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(chunks.len());
    if workers <= 1 {
        let mut state = init();
        return items.iter().try_for_each(|item| take(work(&mut state, item)));
    }
    thread::scope(|scope| {
        let (init, work, chunks) = (&init, &work, &chunks);
        let receivers: Vec<mpsc::Receiver<Vec<R>>> = (0..workers)
            .map(|worker| {
                let (sender, receiver) = mpsc::sync_channel(2);
                scope.spawn(move || {
                    let mut state = init();
                    for chunk in chunks.iter().skip(worker).step_by(workers) {
                        let answers = chunk.iter().map(|item| work(&mut state, item)).collect();
                        // The reader went away: it has seen enough.
                        if sender.send(answers).is_err() {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        for chunk in 0..chunks.len() {
            // A worker ends before its last chunk only by a panic, which the scope passes on.
            let Some(Ok(answers)) = receivers.get(chunk % workers).map(mpsc::Receiver::recv) else {
                break;
            };
            answers.into_iter().try_for_each(&mut take)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..10_000).collect();
        let mut seen = Vec::new();
        let result: Result<(), ()> = ordered(
            &items,
            || (),
            |(), i| i * 2,
            |answer| {
                seen.push(answer);
                Ok(())
            },
        );
        assert_eq!(result, Ok(()));
        assert!(seen.iter().copied().eq((0..10_000).map(|i| i * 2)));
    }

    #[test]
    fn a_reader_that_has_seen_enough_ends_it() {
        let items: Vec<usize> = (0..100_000).collect();
        let mut seen = 0;
        let result = ordered(
            &items,
            || (),
            |(), i| *i,
            |answer| {
                seen += 1;
                if answer == 1000 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!((result, seen), (Err("enough"), 1001));
    }
}
