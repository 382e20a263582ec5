//! A lane: tasks of one kind, so many at once. No lane waits for another.

use std::sync::Arc;
use std::time::Instant;

use records::{Claim, TaskKind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::stop::Stop;
use crate::{Shared, Work, run};

/// Where a lane's claims come from. There are two, and `tests/queue/contract.rs` holds both to each of these sentences:
///
/// Each task in line comes to some lane of its kind, in this process or another, and to one at a time. The first in
/// line come first, give or take what a transport holds. What falls due by itself comes without anybody stirring.
/// Trouble with catalog or transport delays claims and loses none; it never ends the lane. Told to stop, it claims no
/// more.
pub(crate) trait Engine: Send {
    /// Waits until there is something for at most `places` runs, and claims it. Nothing at all: told to stop.
    fn claim(&mut self, places: usize, stop: &mut Stop) -> impl Future<Output = Vec<Claim>> + Send;

    /// Takes its leave.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Runs the lane until told to stop, and then until its last run is over or handed back.
pub(crate) async fn run_lane<W: Work>(
    shared: Arc<Shared>,
    kind: TaskKind,
    mut engine: impl Engine,
    work: Arc<W>,
    mut stop: Stop,
) {
    let lane = shared.options.lane(kind);
    let places = Arc::new(Semaphore::new(lane.parallel));
    let mut runs = JoinSet::new();
    loop {
        let first = tokio::select! {
            biased;
            () = stop.said() => break,
            place = places.clone().acquire_owned() => place,
        };
        let mut free: Vec<_> = first.into_iter().collect();
        while let Ok(place) = places.clone().try_acquire_owned() {
            free.push(place);
        }
        for claim in engine.claim(free.len(), &mut stop).await {
            let hold = shared.held.hold(&claim, Instant::now() + shared.options.lease);
            let (shared, work, place) = (shared.clone(), work.clone(), free.pop());
            runs.spawn(async move {
                run::run(shared, work, claim, hold, lane.retry).await;
                drop(place);
            });
        }
        while let Some(ended) = runs.try_join_next() {
            note(ended);
        }
    }
    engine.close().await;
    let all = async |runs: &mut JoinSet<()>| {
        while let Some(ended) = runs.join_next().await {
            note(ended);
        }
    };
    if tokio::time::timeout(shared.options.drain, all(&mut runs)).await.is_err() {
        tracing::info!(kind = kind.as_str(), runs = runs.len(), "the drain is over: tasks are handed back");
        shared.held.hand_back(kind);
        all(&mut runs).await;
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the keeper of a run ended before it");
    }
}
