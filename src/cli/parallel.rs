//! Many projects on all cores, answers in order, memory bounded.
//!
//! A reader of its own cuts the items into chunks. Chunk `i` belongs to worker `i` modulo the number of workers,
//! and each worker has two channels of its own, in and out, that hold two chunks at most: whoever is ahead waits,
//! the reader too, and the answers are taken in turn.

use std::{num::NonZero, ops::ControlFlow, sync::mpsc, thread};

use crate::pipeline::Site;

/// Projects a chunk: large enough to make a channel cheap, small enough to keep little in flight.
pub(super) const CHUNK: usize = 128;

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
pub(super) fn ordered<T: Sync, S, R: Send, E: Send>(
    items: &[T],
    init: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    if items.len() <= CHUNK {
        let mut state = init();
        return items.iter().try_for_each(|item| take(work(&mut state, item)));
    }
    ordered_from(
        |push| {
            let _ = items.iter().try_for_each(push);
            Ok(())
        },
        init,
        |state, item: &&T| work(state, item),
        take,
    )
}

/// The same for items that `read` hands to the function that it is given, until that says `Break`.
///
/// # Errors
/// The first error of `take`; else that of `read`, when all that it gave before is taken.
pub(super) fn ordered_from<T: Send, S, R: Send, E: Send>(
    read: impl FnOnce(&mut dyn FnMut(T) -> ControlFlow<()>) -> Result<(), E> + Send,
    init: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let (init, work) = (&init, &work);
        let (inputs, outputs): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (input, items) = mpsc::sync_channel::<Vec<T>>(2);
                let (answers, output) = mpsc::sync_channel::<Vec<R>>(2);
                scope.spawn(move || {
                    let mut state = None;
                    for chunk in items {
                        let state = state.get_or_insert_with(init);
                        let done = chunk.iter().map(|item| work(state, item)).collect();
                        // Whoever takes the answers went away: it has seen enough.
                        if answers.send(done).is_err() {
                            return;
                        }
                    }
                });
                (input, output)
            })
            .unzip();
        let reader = scope.spawn(move || {
            let mut turn = inputs.iter().cycle();
            let mut chunk = Vec::with_capacity(CHUNK);
            let mut send = |chunk: Vec<T>| match turn.next().map(|input| input.send(chunk)) {
                Some(Ok(())) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            };
            let read = read(&mut |item| {
                chunk.push(item);
                if chunk.len() < CHUNK {
                    return ControlFlow::Continue(());
                }
                send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK)))
            });
            if !chunk.is_empty() {
                let _ = send(chunk);
            }
            read
        });
        // The first worker without a further answer has got no further chunk: all is read.
        for output in outputs.iter().cycle() {
            let Ok(answers) = output.recv() else { break };
            answers.into_iter().try_for_each(&mut take)?;
        }
        // The workers end before the reader is asked, or it would wait for them where one has panicked.
        drop(outputs);
        match reader.join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        }
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
    fn an_error_of_the_source_comes_after_what_it_gave() {
        for count in [0, 1, CHUNK, 10 * CHUNK + 1] {
            let mut seen = 0;
            let result = ordered_from(
                |push| {
                    let _ = (0..count).try_for_each(push);
                    Err("lost")
                },
                || (),
                |(), i| *i,
                |_| {
                    seen += 1;
                    Ok(())
                },
            );
            assert_eq!((result, seen), (Err("lost"), count));
        }
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
