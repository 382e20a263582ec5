//! A connection to Redis that may be lost at any moment, and what must hold once there is one again.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use records::TaskKind;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamInfoGroupsReply;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult};

use crate::{Error, RedisOptions, Shared};

/// One group of readers for each stream, and one name for all of them: who holds a task stands in its row.
pub(super) const GROUP: &str = "workers";
pub(super) const READER: &str = "worker";
pub(super) const FIELD: &str = "task";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A Redis that hangs for less is waited for; the client's own 500 ms would take each pause for a death.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Tasks handed over at once, at least: below that, a round trip for each would be the limit.
const WINDOW_MIN: usize = 16;
/// And for each that runs at once.
const WINDOW_FACTOR: usize = 4;
/// Entries of a stream for each in the window; the oldest beyond are cut off, and handed over again if need be.
const STREAM_FACTOR: usize = 16;

/// Where Redis is. Its URL, which may hold a password, stays in here.
#[derive(Clone)]
pub(crate) struct Server {
    client: Arc<Client>,
    key_prefix: String,
}

/// The stream of one kind.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) kind: TaskKind,
    pub(super) key: String,
    pub(super) window: usize,
    pub(super) length_max: usize,
}

impl Server {
    /// # Errors
    /// Where the URL is none, or Redis refuses the password. A Redis that is away may come yet.
    pub(crate) async fn open(options: &RedisOptions) -> Result<Self, Error> {
        let no_url = |_| Error::Redis("the URL cannot be used; it looks like redis://:password@host:6379/0".to_owned());
        let client = Client::open(options.url.as_str()).map_err(no_url)?;
        let server = Self { client: Arc::new(client), key_prefix: options.key_prefix.clone() };
        let ask = async {
            let mut connection = server.connect().await?;
            redis::cmd("PING").query_async::<()>(&mut connection).await
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, ask).await {
            Ok(Err(error)) if is_refusal(&error) => Err(Error::Redis(server.told(&error))),
            Ok(Err(error)) => {
                tracing::warn!(error = server.told(&error), "redis cannot be reached; tasks wait for it");
                Ok(server)
            }
            Err(_) => {
                tracing::warn!("redis does not answer; tasks wait for it");
                Ok(server)
            }
            Ok(Ok(())) => Ok(server),
        }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    pub(super) fn stream(&self, kind: TaskKind, parallel: usize) -> Stream {
        let window = (parallel * WINDOW_FACTOR).max(WINDOW_MIN);
        let key = format!("{}tasks:{}", self.key_prefix, kind.as_str());
        Stream { kind, key, window, length_max: window * STREAM_FACTOR }
    }

    /// An error in words, without what is secret.
    pub(super) fn told(&self, error: &RedisError) -> String {
        let mut text = error.to_string();
        let settings = self.client.get_connection_info().redis_settings();
        for secret in [settings.password(), settings.username()].into_iter().flatten().filter(|word| !word.is_empty()) {
            text = text.replace(secret, "(hidden)");
        }
        text
    }
}

/// Whether Redis is there and will not have us: waiting does not help.
fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig)
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}

/// A connection, or none just now.
pub(super) struct Link {
    pub(super) server: Server,
    connection: Option<MultiplexedConnection>,
    was_connected: bool,
    reconnects: Counter,
}

impl Link {
    pub(super) fn new(server: Server, reconnects: Counter) -> Self {
        Self { server, connection: None, was_connected: false, reconnects }
    }

    /// Sees to a connection; whether it is a new one.
    pub(super) async fn connect(&mut self) -> Result<bool, String> {
        if self.connection.is_some() {
            return Ok(false);
        }
        let connection = self.server.connect().await.map_err(|error| self.server.told(&error))?;
        self.connection = Some(connection);
        if self.was_connected {
            self.reconnects.inc();
        }
        self.was_connected = true;
        Ok(true)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn connection(&mut self) -> RedisResult<&mut MultiplexedConnection> {
        self.connection.as_mut().ok_or_else(|| RedisError::from((ErrorKind::Io, "not connected")))
    }

    /// Whatever state it is in, nobody shall inherit it.
    pub(super) fn drop_connection(&mut self) {
        self.connection = None;
    }
}

impl Shared {
    /// A connection is new, or Redis has lost everything: whatever was handed over may be gone. The catalog first: what
    /// is handed over from now on finds its readers, or waits in the stream for them.
    pub(super) async fn begin(&self, link: &mut Link, stream: &Stream) -> Result<(), String> {
        let begun = self.try_begin(link, stream).await;
        if begun.is_err() {
            // Or a connection that works would be taken for one that was begun.
            link.drop_connection();
        }
        begun
    }

    async fn try_begin(&self, link: &mut Link, stream: &Stream) -> Result<(), String> {
        self.records.forget_hand_overs(stream.kind).await.map_err(|error| error.to_string())?;
        let connection = link.connection().map_err(|error| error.to_string())?;
        let made: RedisResult<()> = redis::cmd("XGROUP")
            .arg("CREATE")
            .arg(&stream.key)
            .arg(GROUP)
            .arg("0")
            .arg("MKSTREAM")
            .query_async(connection)
            .await;
        match made {
            Err(error) if error.code() != Some("BUSYGROUP") => return Err(link.server.told(&error)),
            _ => {}
        }
        delete_read(connection, stream).await.map_err(|error| link.server.told(&error))
    }
}

/// Deletes entries that were read already. Redis may have answered a read on a connection nobody listened to any more:
/// nobody would ever delete what it gave away there.
async fn delete_read(connection: &mut MultiplexedConnection, stream: &Stream) -> RedisResult<()> {
    let groups: StreamInfoGroupsReply =
        redis::cmd("XINFO").arg("GROUPS").arg(&stream.key).query_async(connection).await?;
    let Some(group) = groups.groups.into_iter().find(|group| group.name == GROUP) else { return Ok(()) };
    let last = group.last_delivered_id;
    let mut both = redis::pipe();
    both.cmd("XTRIM").arg(&stream.key).arg("MINID").arg(&last).ignore();
    both.cmd("XDEL").arg(&stream.key).arg(&last).ignore();
    both.query_async(connection).await
}
