//! Servers that tests share, so that few of them run at a time.
//!
//! | server | who uses it | how long it runs |
//! |---|---|---|
//! | [`super::api_server::common`] | every module that keeps to namespaces of its own | as long as the program |
//! | a [`Shared`] one | the tests of one module, or of several that change nothing, such as [`super::lab`] | until another module wants one |
//! | [`super::api_server::ApiServer::start`] | a single test that takes rights away, or has a kubelet | as long as the test |
//! | [`super::postgres::Postgres`] | one server, a database for each test | as long as a test holds one |
//!
//! A module needs a server of its own where it makes what has no namespace (nodes, policies) or counts what is in a
//! namespace that others use.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// A server that starts with the first test that asks for it.
///
/// Tests start in the order of their names, module after module. So it is kept until a test asks for another one, and
/// ends with the last test that holds it.
pub(crate) struct Shared<T> {
    start: fn() -> T,
    running: Mutex<Weak<T>>,
}

/// The one that was asked for last.
static KEPT: Mutex<Option<Arc<dyn Any + Send + Sync>>> = Mutex::new(None);

impl<T: Send + Sync + 'static> Shared<T> {
    pub(crate) const fn new(start: fn() -> T) -> Self {
        Self {
            start,
            running: Mutex::new(Weak::new()),
        }
    }

    pub(crate) fn get(&self) -> Arc<T> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let server = running.upgrade().unwrap_or_else(|| {
            let server = Arc::new((self.start)());
            *running = Arc::downgrade(&server);
            server
        });
        drop(running);
        let before = KEPT
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(server.clone());
        // The end of a server takes a while, and nobody has to wait for it.
        drop(before);
        server
    }
}

/// Waits for what comes a moment later by itself: an API server judges rights, policies and limits by caches, and a log
/// is written by another process. The limit is far beyond what any machine needs.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(300);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
