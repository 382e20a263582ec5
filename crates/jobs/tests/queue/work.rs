//! Work that does what a test says, and notes what was done to it.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use jobs::{Outcome, Work};
use records::{Claim, Derivative, Effect, Processed};
use uuid::Uuid;

type Doing = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One run that began.
#[derive(Clone, Debug)]
pub struct Run {
    pub task: Uuid,
    pub worker: String,
    pub attempts: u32,
}

/// What happened, in all processes of a test.
#[derive(Default)]
pub struct Log {
    runs: Mutex<Vec<Run>>,
    under_way: Mutex<HashSet<Uuid>>,
    overlaps: Mutex<Vec<Uuid>>,
    dropped: Mutex<Vec<Uuid>>,
    discarded: Mutex<Vec<Uuid>>,
}

impl Log {
    pub fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.runs.lock().unwrap().len()
    }

    /// Tasks that ran twice at once.
    pub fn overlaps(&self) -> Vec<Uuid> {
        self.overlaps.lock().unwrap().clone()
    }

    /// Tasks whose run was dropped in the middle.
    pub fn dropped(&self) -> Vec<Uuid> {
        self.dropped.lock().unwrap().clone()
    }

    /// Tasks of which an effect was discarded.
    pub fn discarded(&self) -> Vec<Uuid> {
        self.discarded.lock().unwrap().clone()
    }
}

pub struct Script {
    pub log: Arc<Log>,
    what: Box<dyn Fn(Claim) -> Doing + Send + Sync>,
}

impl Script {
    pub fn new<F: Future<Output = Outcome> + Send + 'static>(
        log: &Arc<Log>,
        what: impl Fn(Claim) -> F + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), what: Box::new(move |claim| Box::pin(what(claim))) })
    }
}

struct UnderWay {
    log: Arc<Log>,
    task: Uuid,
    ended: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.log.under_way.lock().unwrap().remove(&self.task);
        if !self.ended {
            self.log.dropped.lock().unwrap().push(self.task);
        }
    }
}

impl Work for Script {
    async fn run(&self, claim: Claim) -> Outcome {
        let task = claim.task.id;
        if !self.log.under_way.lock().unwrap().insert(task) {
            self.log.overlaps.lock().unwrap().push(task);
        }
        let worker = claim.task.worker.clone().unwrap();
        self.log.runs.lock().unwrap().push(Run { task, worker, attempts: claim.task.attempts });
        let mut under_way = UnderWay { log: self.log.clone(), task, ended: false };
        let outcome = (self.what)(claim).await;
        under_way.ended = true;
        outcome
    }

    async fn discard(&self, claim: Claim, effect: Effect) {
        assert!(matches!(effect, Effect::Processed(_)), "{effect:?}");
        self.log.discarded.lock().unwrap().push(claim.task.id);
    }
}

/// The effect of a processing task, as if its photo had been decoded.
pub fn processed(claim: &Claim) -> Outcome {
    let derivative = Derivative {
        size: "thumb".to_owned(),
        content_type: "image/jpeg".to_owned(),
        blob_key: format!("{}.{}", claim.task.id, claim.fence),
        offset_bytes: 0,
        size_bytes: 1,
        width_px: 1,
        height_px: 1,
        sha256: [1; 32],
    };
    Outcome::Success(Effect::Processed(Box::new(Processed {
        width_px: 1,
        height_px: 1,
        taken_at: None,
        placeholder: vec![1],
        sharpness: 1.0,
        brightness: 0.5,
        perceptual_hash: 0,
        near_duplicate_bits_max: 0,
        derivatives: vec![derivative],
        replacement: None,
    })))
}

pub fn again(error: &str) -> Outcome {
    Outcome::Retry { error: error.to_owned(), after: None }
}
