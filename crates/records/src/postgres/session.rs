//! One connection, asked from a blocking thread; and what the server's errors mean.

use std::cell::Cell;
use std::error::Error as _;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use deadpool_postgres::{Object, PoolError, TimeoutType};
use tokio::runtime::Handle;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::PostgresOptions;
use crate::db::Value;
use crate::{Error, Result, Sync};

/// Longest wait for the answer to one statement. A server behind a network that swallows everything says nothing.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same where a whole table is read at one moment: counting a hundred million rows takes minutes.
const LONG_STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);
/// Longest wait for a connection, and for the network to take what was sent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What a failure before the commit means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another request was in the way: run again, it may see what that one did.
    Met,
    /// The server or the way to it was lost.
    Lost,
}

/// A connection out of the pool, for one request.
pub(crate) struct Session {
    connection: Option<Object>,
    runtime: Handle,
    pub(crate) is_in_doubt: bool,
    is_spoiled: Cell<bool>,
    timeout: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not put back: a request that panicked has left its transaction open, and another would commit its half.
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

/// How a COMMIT failed.
pub(super) enum Uncommitted {
    /// The server refused it, and said so like any other error.
    Certain(Error),
    /// The server died over it, or was never heard: its log may hold the commit all the same.
    InDoubt(Error),
}

impl Session {
    pub(super) fn new(connection: Object, runtime: Handle, is_in_doubt: bool) -> Self {
        Self {
            connection: Some(connection),
            runtime,
            is_in_doubt,
            is_spoiled: Cell::new(false),
            timeout: STATEMENT_TIMEOUT,
        }
    }

    /// For statements that read much.
    pub(super) fn patient(mut self) -> Self {
        self.timeout = LONG_STATEMENT_TIMEOUT;
        self
    }

    /// Nobody else may get this connection.
    pub(super) fn spoil(&self) {
        self.is_spoiled.set(true);
    }

    pub(super) fn put_back(mut self, is_good: bool) {
        if let Some(connection) = self.connection.take()
            && (!is_good || self.is_spoiled.get())
        {
            drop(Object::take(connection));
        }
    }

    fn ask<T>(&self, answer: impl AsyncFnOnce(&Object) -> Result<T, tokio_postgres::Error>) -> Result<T> {
        let Some(connection) = &self.connection else { return Err(Error::Stopped) };
        let answer = self.runtime.block_on(tokio::time::timeout(self.timeout, answer(connection)));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => {
                self.spoil();
                Err(Error::Unavailable("no answer in time".to_owned()))
            }
        }
    }

    pub(super) fn commit(&self) -> Result<(), Uncommitted> {
        let answer = self.ask(async |connection| {
            Ok(connection.batch_execute("COMMIT").await.map_err(|error| {
                // A server that panics tells its error first, and its log may have been written.
                let severity = error.as_db_error().and_then(tokio_postgres::error::DbError::parsed_severity);
                let is_certain = severity == Some(tokio_postgres::error::Severity::Error);
                match told(&error) {
                    told if is_certain && !matches!(told, Error::Unavailable(_)) => Uncommitted::Certain(told),
                    told => Uncommitted::InDoubt(told),
                }
            }))
        });
        answer.unwrap_or_else(|error| Err(Uncommitted::InDoubt(error)))
    }

    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        self.ask(async |connection| connection.batch_execute(sql).await)
    }

    pub(crate) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize> {
        let changed = self.ask(async |connection| {
            let statement = connection.prepare_cached(&numbered(sql)).await?;
            connection.execute(&statement, &bound(values)).await
        })?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(crate) fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>> {
        self.ask(async |connection| {
            let statement = connection.prepare_cached(&numbered(sql)).await?;
            connection.query(&statement, &bound(values)).await
        })
    }
}

fn bound<'a>(values: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + std::marker::Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + std::marker::Sync)).collect()
}

/// `?2` is `$2`, and a plain `?` the next number. No statement of ours has a question mark in a text.
fn numbered(sql: &str) -> String {
    let mut numbered = String::with_capacity(sql.len() + 16);
    let mut next = 1;
    let mut characters = sql.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '?' {
            numbered.push(character);
            continue;
        }
        numbered.push('$');
        if !characters.peek().is_some_and(char::is_ascii_digit) {
            numbered.push_str(&next.to_string());
            next += 1;
        }
    }
    numbered
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Send + std::marker::Sync>> {
        let number = |value: i64, out: &mut BytesMut| {
            match *ty {
                Type::INT2 => out.put_i16(value.try_into()?),
                Type::INT4 => out.put_i32(value.try_into()?),
                Type::BOOL => out.put_u8(u8::from(value != 0)),
                Type::FLOAT8 => {
                    #[allow(clippy::cast_precision_loss)] // SQLite keeps a whole number in a REAL column so
                    out.put_f64(value as f64);
                }
                _ => out.put_i64(value),
            }
            Ok(IsNull::No)
        };
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Bool(value), _) => number(i64::from(*value), out),
            (Self::Int(value), _) => number(*value, out),
            (Self::Real(value), _) => value.to_sql(ty, out),
            (Self::Text(value), _) => value.to_sql(ty, out),
            (Self::Blob(value), &Type::UUID) if value.len() != 16 => {
                Err(format!("{} bytes are no UUID", value.len()).into())
            }
            (Self::Blob(value), _) => {
                out.put_slice(value);
                Ok(IsNull::No)
            }
            (Self::Uuid(value), _) => {
                out.put_slice(value.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

struct RawUuid(Uuid);

impl<'a> FromSql<'a> for RawUuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Send + std::marker::Sync>> {
        Ok(Self(Uuid::from_slice(raw)?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
}

/// A column of a row.
pub(crate) fn value(row: &Row, index: usize) -> Result<Value<'_>> {
    fn read<'a, T: FromSql<'a>>(row: &'a Row, index: usize, as_value: impl Fn(T) -> Value<'a>) -> Result<Value<'a>> {
        let read: Option<T> = row.try_get(index).map_err(|error| told(&error))?;
        Ok(read.map_or(Value::Null, as_value))
    }
    let Some(column) = row.columns().get(index) else {
        return Err(Error::Malformed(format!("a row has no column {index}")));
    };
    match *column.type_() {
        Type::BOOL => read(row, index, Value::Bool),
        Type::INT2 => read(row, index, |number: i16| Value::Int(number.into())),
        Type::INT4 => read(row, index, |number: i32| Value::Int(number.into())),
        Type::INT8 => read(row, index, Value::Int),
        Type::FLOAT8 => read(row, index, Value::Real),
        Type::BYTEA => read(row, index, Value::Blob),
        Type::UUID => read(row, index, |RawUuid(id)| Value::Uuid(id)),
        _ => read(row, index, Value::Text),
    }
}

/// What the server said: its code and its sentence, never the detail, which may quote a row.
pub(super) fn told(error: &tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error() else {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        return if error.is_closed()
            || error.source().is_none_or(<dyn std::error::Error + 'static>::is::<std::io::Error>)
        {
            Error::Unavailable(cause)
        } else {
            Error::Postgres { code: String::new(), message: cause }
        };
    };
    let code = said.code().code();
    let message = said.message().to_owned();
    match code {
        "53100" => Error::Full,
        // The server goes, comes, is full, or is a standby for the moment.
        "25006" | "25P03" | "53300" | "57014" | "57P01" | "57P02" | "57P03" | "57P05" => Error::Unavailable(message),
        code if code.starts_with("08") => Error::Unavailable(message),
        code => Error::Postgres { code: code.to_owned(), message },
    }
}

/// Whether a request that met this error is worth another run.
pub(super) fn failure_of(code: &str) -> Option<Failure> {
    match code {
        // Serialization, deadlock, lock not to be had in time; and a UNIQUE rule that a request has just looked at:
        // somebody was faster, and the next run sees it. (Where it is a user's mistake the request says so itself.)
        "40001" | "40P01" | "55P03" | "23505" => Some(Failure::Met),
        // A plan that the last migration made old.
        "0A000" => Some(Failure::Lost),
        _ => None,
    }
}

pub(super) fn pool_error(error: &PoolError) -> Error {
    match error {
        PoolError::Backend(error) => told(error),
        // All connections are at work: the server is there.
        PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
        PoolError::Timeout(_) => Error::Unavailable("no connection in time".to_owned()),
        PoolError::Closed => Error::Stopped,
        other => Error::Unavailable(other.to_string()),
    }
}

pub(super) fn config(options: &PostgresOptions, sync: Sync) -> Result<Config> {
    let mut config: Config = options.url.parse().map_err(|error: tokio_postgres::Error| {
        // Not the URL itself: it may hold a password.
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Error::Conflict(format!("the URL of the PostgreSQL server cannot be read: {why}"))
    })?;
    // One name for all connections of a program: who else is there can be counted.
    config.application_name(format!("filmgate/{}", Uuid::now_v7().simple()));
    config.connect_timeout(CONNECT_TIMEOUT);
    config.tcp_user_timeout(STATEMENT_TIMEOUT);
    config.keepalives_idle(Duration::from_secs(10));
    // The server must let go of what a node held that was cut off in the middle, before others wait for it in vain.
    let commit = if sync == Sync::Durable { "on" } else { "off" };
    let own = format!(
        "-c search_path={SCHEMA} -c synchronous_commit={commit} -c default_transaction_isolation=read\\ committed \
         -c idle_in_transaction_session_timeout=10s -c lock_timeout=5s -c tcp_keepalives_idle=5 \
         -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000 -c jit=off"
    );
    let options = match config.get_options() {
        Some(theirs) => format!("{own} {theirs}"),
        None => own,
    };
    config.options(&options);
    Ok(config)
}

/// Filmgate's tables have a schema of their own: an app's `users` may stand beside them.
pub(super) const SCHEMA: &str = "filmgate";

pub(super) fn tls(options: &PostgresOptions) -> Result<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    match &options.tls_ca_pem {
        Some(pem) => {
            use rustls::pki_types::CertificateDer;
            use rustls::pki_types::pem::PemObject;
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
                added.map_err(|error| Error::Conflict(format!("the PostgreSQL server's authorities: {error}")))?;
            }
        }
        None => {
            // A certificate that cannot be read is none; the server's is then refused, and says so.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Conflict(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(client))
}

/// Where a server is, without a password.
pub(super) fn place(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let tls = if config.get_ssl_mode() == SslMode::Require { ", by TLS" } else { "" };
    format!("{host}:{port}/{}{tls}", config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn placeholders_get_their_numbers() {
        let check = |sql: &str, expect: &str| assert_eq!(numbered(sql), expect);
        check("SELECT 1", "SELECT 1");
        check("a = ? AND b = ?", "a = $1 AND b = $2");
        check("a = ?2 AND b = ?1 AND c = ?11", "a = $2 AND b = $1 AND c = $11");
        check("(?, ?)", "($1, $2)");
    }
}
