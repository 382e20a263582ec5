//! What makes nginx a load balancer: asks each node's `/readyz` and directs requests to those that are ready.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use testkit::Connection;
use testkit::http::Request;
use testkit::rig::nginx::Nginx;

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(250);
/// A node that says nothing for so long is not ready.
const PATIENCE: Duration = Duration::from_secs(1);
/// A node is taken out after so many answers that it is not ready: one may be lost.
const MISSES_MAX: usize = 2;

#[derive(Debug, Default)]
struct Shared {
    ready: Mutex<Vec<bool>>,
    ends: AtomicBool,
}

/// nginx, and who asks for it.
#[derive(Debug)]
pub struct Balancer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
}

impl Balancer {
    pub fn start(mut nginx: Nginx, nodes: Vec<SocketAddr>) -> Self {
        let shared = Arc::new(Shared::default());
        let address = nginx.address();
        let thread = thread::spawn({
            let shared = shared.clone();
            move || watch(&shared, &mut nginx, &nodes)
        });
        Self { shared, thread: Some(thread), address }
    }

    /// Where clients go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Which nodes were ready when they were last asked.
    pub fn ready(&self) -> Vec<bool> {
        self.shared.ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // A panic there has been printed already.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn watch(shared: &Shared, nginx: &mut Nginx, nodes: &[SocketAddr]) {
    let mut misses = vec![0; nodes.len()];
    let mut directed: Vec<SocketAddr> = nodes.to_vec();
    while !shared.ends.load(Ordering::Relaxed) {
        let answers: Vec<bool> = thread::scope(|scope| {
            let asked: Vec<_> = nodes.iter().map(|node| scope.spawn(|| is_ready(*node))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap_or(false)).collect()
        });
        for (misses, is_ready) in misses.iter_mut().zip(&answers) {
            *misses = if *is_ready { 0 } else { *misses + 1 };
        }
        let ready: Vec<SocketAddr> =
            nodes.iter().zip(&misses).filter(|(_, misses)| **misses < MISSES_MAX).map(|(node, _)| *node).collect();
        // With nobody ready, all are asked: their own words are better than those of a proxy without nodes.
        let want = if ready.is_empty() { nodes.to_vec() } else { ready };
        if want != directed {
            if let Err(error) = nginx.direct_to(&want) {
                eprintln!("the balancer could not change nginx: {error:#}");
            }
            directed = want;
        }
        *shared.ready.lock().unwrap_or_else(PoisonError::into_inner) = answers;
        thread::sleep(INTERVAL);
    }
}

fn is_ready(node: SocketAddr) -> bool {
    let ask = || -> Result<bool> {
        let mut connection = Connection::open(node)?;
        connection.timeout(PATIENCE)?;
        Ok(connection.send(&Request::get("/readyz").header("Connection", "close"))?.status == 200)
    };
    ask().unwrap_or(false)
}
