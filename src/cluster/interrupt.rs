//! Ctrl-C.
//!
//! Once a signal has a handler, its default is gone for the whole process. So one thread listens: while a
//! [`super::Cluster`] runs, the first Ctrl-C ends every request with [`RequestError::Interrupted`], and the command
//! can still say what it has done; at any other time, and at the second Ctrl-C, the process ends as it does by
//! default.

use std::{
    pin::pin,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use futures_util::future::{Either, select};
#[cfg(windows)]
use tokio::signal::windows::ctrl_c as signals;
use tokio::sync::watch;

use super::RequestError;

/// Exit code of a process that SIGINT ended, as shells count it.
const INTERRUPTED: i32 = 130;

/// How many clusters run just now.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// As long as it lives, Ctrl-C is a [`RequestError::Interrupted`].
pub(super) struct Guard(());

impl Guard {
    pub(super) fn new() -> Self {
        pressed();
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Drives a future until it ends or Ctrl-C is pressed.
pub(super) async fn or_interrupted<T>(
    future: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    let mut pressed = pressed().clone();
    let interrupt = pin!(async move {
        if pressed.wait_for(|pressed| *pressed).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    match select(interrupt, pin!(future)).await {
        Either::Left(_) => Err(RequestError::Interrupted),
        Either::Right((result, _)) => result,
    }
}

/// Becomes true when Ctrl-C is pressed, and stays so.
fn pressed() -> &'static watch::Receiver<bool> {
    static PRESSED: OnceLock<watch::Receiver<bool>> = OnceLock::new();
    PRESSED.get_or_init(|| {
        let (sender, receiver) = watch::channel(false);
        let (ready, listening) = mpsc::channel();
        // Without the thread Ctrl-C keeps its default, which is as well.
        let _ = std::thread::Builder::new()
            .name("ctrl-c".to_owned())
            .spawn(move || listen(&sender, ready));
        // Nothing is ever sent: the other end is dropped when the handler is in place, or when it cannot be.
        let _: Result<(), _> = listening.recv();
        receiver
    })
}

#[cfg(unix)]
fn signals() -> std::io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
}

fn listen(sender: &watch::Sender<bool>, ready: mpsc::Sender<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        // One stream for all of them: a new one would miss what is pressed before it is made.
        let Ok(mut signals) = signals() else {
            return;
        };
        drop(ready);
        while signals.recv().await.is_some() {
            if RUNNING.load(Ordering::SeqCst) == 0 || sender.send_replace(true) {
                std::process::exit(INTERRUPTED);
            }
        }
    });
}
