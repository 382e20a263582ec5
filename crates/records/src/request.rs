//! A request to the catalog with its types laid aside, so that an engine is compiled once and not for each of them.

use tokio::sync::oneshot;

use crate::db::Db;
use crate::{Error, Result};

/// An error of a request, with the engine's own inside where there is one.
pub(crate) trait RequestError: From<Error> {
    fn of_catalog(&self) -> Option<&Error>;
}

impl RequestError for Error {
    fn of_catalog(&self) -> Option<&Error> {
        Some(self)
    }
}

/// A request and who waits for it.
pub(crate) trait Request: Send {
    /// Runs it, perhaps not for the first time, and keeps its outcome. What it failed with, where that is the catalog's.
    fn run(&mut self, db: &Db<'_>) -> Result<(), Option<&Error>>;
    /// Its outcome is this, whatever it said itself.
    fn fail(&mut self, error: Error);
    /// Tells whoever waits, once the outcome holds.
    fn answer(self: Box<Self>);
}

/// Waits for an answer; fails where the request is dropped without one.
pub(crate) type Answer<T, E> = oneshot::Receiver<Result<T, E>>;

/// A request, and where its answer will be.
pub(crate) fn request<T, E, F>(ask: F) -> (Box<dyn Request>, Answer<T, E>)
where
    T: Send + 'static,
    E: RequestError + Send + 'static,
    F: FnMut(&Db<'_>) -> Result<T, E> + Send + 'static,
{
    let (tell, answer) = oneshot::channel();
    (Box::new(Asked { ask, outcome: None, tell }), answer)
}

struct Asked<T, E, F> {
    ask: F,
    outcome: Option<Result<T, E>>,
    tell: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Request for Asked<T, E, F>
where
    T: Send,
    E: RequestError + Send,
    F: FnMut(&Db<'_>) -> Result<T, E> + Send,
{
    fn run(&mut self, db: &Db<'_>) -> Result<(), Option<&Error>> {
        match self.outcome.insert((self.ask)(db)) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.of_catalog()),
        }
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // Nobody waiting any more is fine: the work is done and durable all the same.
            drop(self.tell.send(outcome));
        }
    }
}
