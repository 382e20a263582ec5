//! The thread that starts the children.
//!
//! A child asks the kernel to be killed with its parent, and the kernel takes the *thread* that started it for the
//! parent. Started on one of tokio's threads, a child would be killed in the middle of a photo when that thread goes.
//! So one thread starts them all, and it lives exactly as long as the pool: when the pool goes, its children go.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Order {
    command: Command,
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

/// Starts children; dropping it ends them.
#[derive(Default)]
pub(crate) struct Spawner {
    /// None until the first child is needed: a server that decodes nothing has no such thread.
    orders: Mutex<Option<mpsc::Sender<Order>>>,
}

impl Spawner {
    pub(crate) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (started, answer) = oneshot::channel();
        self.order(Order { command, runtime: Handle::current(), started })?;
        answer.await.map_err(|_| io::Error::other("the thread that starts decoders is gone"))?
    }

    fn order(&self, order: Order) -> io::Result<()> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match orders.as_ref() {
            Some(sender) => sender,
            None => orders.insert(start_thread()?),
        };
        sender.send(order).map_err(|_| io::Error::other("the thread that starts decoders is gone"))
    }
}

fn start_thread() -> io::Result<mpsc::Sender<Order>> {
    let (sender, orders) = mpsc::channel::<Order>();
    std::thread::Builder::new().name("decoder-spawner".to_owned()).spawn(move || {
        while let Ok(Order { mut command, runtime, started }) = orders.recv() {
            let _context = runtime.enter();
            // Whoever asked may be gone: then the child is dropped here, and killed by that.
            drop(started.send(command.spawn()));
        }
    })?;
    Ok(sender)
}
