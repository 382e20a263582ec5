//! The Redis engine: a stream for each kind carries ids of tasks to the workers of several processes.
//!
//! **Promises** that Redis may lose everything, hang or be away, at any moment: a task's row in the catalog is the
//! truth, so tasks then wait and are handed over again. What travels is an id, never a photo, a name or an event.
//! Errors name no password.
//!
//! Every process hands over (`relay.rs`), a small window of the catalog's fair order at a time; that a row says when it
//! was handed over keeps two of them from handing over the same. A worker reads as many ids as it has free places,
//! claims them in the catalog, and only what it gets there is run. An id that comes twice is claimed once.
//!
//! Entries are read without Redis keeping note of who read them: whether a task is held, and until when, stands in its
//! row. An entry is deleted once its claim was tried; one whose reader died first is deleted when the next connection
//! begins, or cut off at the stream's limit.

mod link;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use records::{Claim, TaskKind};
use redis::streams::StreamReadReply;
use redis::{RedisError, RedisResult};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) use self::link::Server;
use self::link::{Link, Stream};
use self::relay::relay;
use crate::Shared;
use crate::lane::Engine;
use crate::retry::Trouble;
use crate::stop::Stop;

/// How long Redis holds a read that finds nothing; well below the time it has for an answer.
const BLOCK: Duration = Duration::from_secs(2);

pub(crate) struct Redis {
    shared: Arc<Shared>,
    link: Link,
    stream: Stream,
    trouble: Trouble,
    catalog_trouble: Trouble,
    relay: JoinHandle<()>,
    /// Tells the relay that ids were taken and there is room for more.
    taken: Arc<Notify>,
    /// Entries read whose claim was tried: to be deleted.
    done: Vec<String>,
    /// Ids may have been read and not claimed.
    owes: bool,
}

impl Redis {
    /// Begins handing over; where nothing is to be claimed here, that is all it does.
    pub(crate) fn new(shared: Arc<Shared>, server: &Server, kind: TaskKind, stop: Stop) -> Self {
        let taken = Arc::new(Notify::new());
        let stream = server.stream(kind, shared.options.lane(kind).parallel);
        let link = || Link::new(server.clone(), shared.metrics.redis_reconnects.clone());
        let relay = tokio::spawn(relay(shared.clone(), link(), stream.clone(), taken.clone(), stop));
        let trouble = Trouble::new(format!("redis ({}, reading)", kind.as_str()));
        let catalog_trouble = Trouble::new(format!("catalog ({})", kind.as_str()));
        Self { link: link(), shared, stream, trouble, catalog_trouble, relay, taken, done: Vec::new(), owes: false }
    }

    /// Reads up to `places` ids; none where none came in time.
    async fn read(&mut self, places: usize) -> Result<StreamReadReply, String> {
        let outcome = self.try_read(places).await;
        match outcome {
            Ok(reply) => Ok(reply),
            Err(error) if is_group_gone(&error) => {
                // Redis has lost everything, and says so to whoever reads.
                self.shared.begin(&mut self.link, &self.stream).await?;
                self.taken.notify_one();
                Ok(StreamReadReply { keys: Vec::new() })
            }
            Err(error) => {
                self.link.drop_connection();
                Err(self.link.server.told(&error))
            }
        }
    }

    async fn try_read(&mut self, places: usize) -> RedisResult<StreamReadReply> {
        let key = self.stream.key.clone();
        let connection = self.link.connection()?;
        if !self.done.is_empty() {
            let () = redis::cmd("XDEL").arg(&key).arg(&self.done).query_async(connection).await?;
            self.done.clear();
        }
        let reply: Option<StreamReadReply> = redis::cmd("XREADGROUP")
            .arg("GROUP")
            .arg(link::GROUP)
            .arg(link::READER)
            .arg("COUNT")
            .arg(places)
            .arg("BLOCK")
            .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX))
            .arg("NOACK")
            .arg("STREAMS")
            .arg(&key)
            .arg(">")
            .query_async(connection)
            .await?;
        Ok(reply.unwrap_or(StreamReadReply { keys: Vec::new() }))
    }

    /// Sees to a connection, a group, and that what an earlier connection lost is handed over again.
    async fn ready(&mut self) -> Result<(), String> {
        if self.link.connect().await? {
            self.shared.begin(&mut self.link, &self.stream).await?;
            self.taken.notify_one();
        }
        Ok(())
    }

    async fn next(&mut self, places: usize) -> Result<Vec<Uuid>, String> {
        self.ready().await?;
        let reply = self.read(places).await?;
        let mut ids = Vec::new();
        for entry in reply.keys.into_iter().flat_map(|stream| stream.ids) {
            // What is not ours is deleted like the rest.
            ids.extend(entry.get::<String>(link::FIELD).and_then(|text| Uuid::try_parse(&text).ok()));
            self.done.push(entry.id);
        }
        Ok(ids)
    }
}

/// Whether Redis lost the stream or its readers' group, and nothing else is wrong.
fn is_group_gone(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED"))
}

impl Engine for Redis {
    async fn claim(&mut self, places: usize, stop: &mut Stop) -> Vec<Claim> {
        while !stop.is_said() {
            self.owes = true;
            let next = tokio::select! {
                biased;
                () = stop.said() => break,
                next = self.next(places) => next,
            };
            let ids = match next {
                Ok(ids) => ids,
                Err(error) => {
                    stop.sleep(self.trouble.met(&error)).await;
                    continue;
                }
            };
            self.trouble.over();
            let kind = self.stream.kind;
            // Read is read: they are claimed before anything else is done, however long the catalog takes.
            while !ids.is_empty() && !stop.is_said() {
                let (terms, now) = self.shared.terms(kind);
                match self.shared.records.claim_these(terms, ids.clone(), now).await {
                    Ok(claims) => {
                        self.catalog_trouble.over();
                        self.owes = false;
                        self.taken.notify_one();
                        if !claims.is_empty() {
                            return claims;
                        }
                        break;
                    }
                    Err(error) => {
                        stop.sleep(self.catalog_trouble.met(&error)).await;
                    }
                }
            }
        }
        Vec::new()
    }

    async fn close(mut self) {
        if let Err(error) = self.relay.await {
            tracing::error!(%error, "the relay ended before its time");
        }
        let clean = async {
            if self.link.is_connected() && !self.done.is_empty() {
                let connection = self.link.connection()?;
                let () = redis::cmd("XDEL").arg(&self.stream.key).arg(&self.done).query_async(connection).await?;
            }
            Ok::<_, RedisError>(())
        };
        // Left behind, they are claimed by nobody, and deleted when the next connection begins.
        if !matches!(tokio::time::timeout(Duration::from_millis(500), clean).await, Ok(Ok(()))) {
            tracing::debug!("entries were left in redis");
        }
        // What was read here and not claimed would otherwise wait until it is taken for lost.
        if self.owes
            && let Err(error) = self.shared.records.forget_hand_overs(self.stream.kind).await
        {
            tracing::warn!(%error, "tasks handed over to this process wait until they are taken for lost");
        }
    }
}
