//! The three engines as one: a statement with its values goes in, rows of texts come out.
//!
//! Owns connections, their limits of time, and what differs between the dialects' words. Knows no table of the app's.
//! Every column is asked for as text, so that whatever type the app chose for a key or a flag can be read.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Executor, MySql, Postgres, Row, SqlSafeStr, Sqlite, Statement,
};
use tokio::time::timeout;

use crate::Error;

/// A row, each column as text.
pub(crate) type Texts = Vec<Option<String>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    MySql,
    Sqlite,
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A statement as it is put together: text with marks, and the values that stand for them.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    dialect: Dialect,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, text: String::new(), values: Vec::new() }
    }

    /// Words of our own, or a query of the operator's.
    pub(crate) fn push(&mut self, words: &str) -> &mut Self {
        self.text.push_str(words);
        self
    }

    /// A value; never a part of the text.
    pub(crate) fn bind(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        match self.dialect {
            Dialect::Postgres => {
                self.text.push('$');
                self.text.push_str(&self.values.len().to_string());
            }
            Dialect::MySql | Dialect::Sqlite => self.text.push('?'),
        }
        self
    }

    /// The same with words in front.
    pub(crate) fn wrapped(mut self, words: &str) -> Self {
        self.text.insert_str(0, words);
        self
    }

    /// A value as one of a type of PostgreSQL's, which takes no text for a number.
    pub(crate) fn bind_as(&mut self, value: Value, postgres_type: &str) -> &mut Self {
        if self.dialect == Dialect::Postgres {
            self.push("CAST(").bind(value).push(" AS ").push(postgres_type).push(")")
        } else {
            self.bind(value)
        }
    }
}

impl Dialect {
    /// A name of the configuration's, as one name whatever stands in it.
    pub(crate) fn quote(self, name: &str) -> String {
        match self {
            Self::Postgres | Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A table, perhaps with its schema in front.
    pub(crate) fn quote_table(self, table: &str) -> String {
        table.split('.').map(|part| self.quote(part)).collect::<Vec<_>>().join(".")
    }

    /// Any expression as text.
    pub(crate) fn text(self, expression: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({expression} AS text)"),
            Self::MySql => format!("CAST({expression} AS CHAR)"),
            Self::Sqlite => format!("CAST({expression} AS TEXT)"),
        }
    }
}

/// The way to one database.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Postgres(PgPool, PgConnectOptions),
    MySql(MySqlPool, MySqlConnectOptions),
    Sqlite(SqlitePool, SqliteConnectOptions),
}

/// One connection, taken for one piece of work.
pub(crate) enum Link {
    Postgres(PoolConnection<Postgres>),
    MySql(PoolConnection<MySql>),
    Sqlite(PoolConnection<Sqlite>),
}

fn no_engine() -> Error {
    Error::Options("host.database_url begins with postgresql://, mysql://, mariadb:// or sqlite:///".to_owned())
}

/// As the app writes it, without the driver that SQLAlchemy is told: `postgresql+psycopg2://` is `postgresql://`.
fn plain_url(url: &str) -> Result<(String, String), Error> {
    let (scheme, rest) = url.trim().split_once(':').ok_or_else(no_engine)?;
    Ok((scheme.split('+').next().unwrap_or(scheme).to_ascii_lowercase(), rest.to_owned()))
}

/// As SQLAlchemy reads it: three slashes and a relative path, four and an absolute one. `sqlite:PATH` is taken too.
fn sqlite_path(rest: &str) -> Result<String, Error> {
    let path = rest.strip_prefix("///").unwrap_or(rest);
    let path = path.split('?').next().unwrap_or(path);
    if path.is_empty() || path.starts_with("//") || path == ":memory:" {
        return Err(Error::Options(
            "host.database_url names no file: sqlite:///relative or sqlite:////absolute".into(),
        ));
    }
    Ok(path.to_owned())
}

/// What a URL says.
enum Way {
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
    Sqlite(SqliteConnectOptions),
}

impl Way {
    fn of(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = plain_url(url)?;
        // The parser's own words may repeat the URL, with its password.
        let wrong = |_| Error::Options("host.database_url cannot be read as a URL".to_owned());
        Ok(match scheme.as_str() {
            "postgres" | "postgresql" => {
                let options: PgConnectOptions = format!("postgres:{rest}").parse().map_err(wrong)?;
                Self::Postgres(options.application_name("filmgate").disable_statement_logging())
            }
            "mysql" | "mariadb" => {
                let options: MySqlConnectOptions = format!("mysql:{rest}").parse().map_err(wrong)?;
                Self::MySql(options.disable_statement_logging())
            }
            "sqlite" => Self::Sqlite(
                SqliteConnectOptions::new()
                    .filename(sqlite_path(&rest)?)
                    .create_if_missing(false)
                    // As the app has it unless it says otherwise; the pragma is not the file's.
                    .foreign_keys(false)
                    .disable_statement_logging(),
            ),
            _ => return Err(no_engine()),
        })
    }
}

/// Whether a URL can be one of the app's database; the error repeats nothing of it.
///
/// # Errors
/// [`Error::Options`].
pub fn check_url(url: &str) -> Result<(), Error> {
    Way::of(url).map(drop)
}

impl Engine {
    /// Connects to nothing yet.
    pub(crate) fn new(url: &str, connections_max: u32, acquire: Duration, statement: Duration) -> Result<Self, Error> {
        let limit_ms = u64::try_from(statement.as_millis()).unwrap_or(u64::MAX);
        let max = connections_max.max(1);
        Ok(match Way::of(url)? {
            Way::Postgres(options) => {
                let pool = PgPoolOptions::new().max_connections(max).acquire_timeout(acquire);
                let pool = pool.after_connect(move |link, _| {
                    Box::pin(async move {
                        let limit = format!("SET statement_timeout = {limit_ms}");
                        sqlx::raw_sql(AssertSqlSafe(limit)).execute(link).await.map(drop)
                    })
                });
                Self::Postgres(pool.connect_lazy_with(options.clone()), options)
            }
            Way::MySql(options) => {
                let pool = MySqlPoolOptions::new().max_connections(max).acquire_timeout(acquire);
                Self::MySql(pool.connect_lazy_with(options.clone()), options)
            }
            Way::Sqlite(options) => {
                let options = options.busy_timeout(statement);
                let pool = SqlitePoolOptions::new().max_connections(max).acquire_timeout(acquire);
                Self::Sqlite(pool.connect_lazy_with(options.clone()), options)
            }
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(..) => Dialect::Postgres,
            Self::MySql(..) => Dialect::MySql,
            Self::Sqlite(..) => Dialect::Sqlite,
        }
    }

    /// Whether it answers at all, by a connection of its own: the pool would only say that none could be had.
    pub(crate) async fn ping(&self, limit: Duration) -> Result<(), Error> {
        let ping = async {
            match self {
                Self::Postgres(_, options) => {
                    let mut link = PgConnection::connect_with(options).await?;
                    link.ping().await?;
                    link.close().await
                }
                Self::MySql(_, options) => {
                    let mut link = MySqlConnection::connect_with(options).await?;
                    link.ping().await?;
                    link.close().await
                }
                Self::Sqlite(_, options) => {
                    let mut link = SqliteConnection::connect_with(options).await?;
                    // A file that is there and no database is found out by reading it.
                    sqlx::raw_sql("SELECT count(*) FROM sqlite_schema").execute(&mut link).await?;
                    link.close().await
                }
            }
        };
        Ok(timeout(limit, ping).await.map_err(|_| Error::timeout(limit))??)
    }

    async fn link(&self) -> Result<Link, Error> {
        Ok(match self {
            Self::Postgres(pool, _) => Link::Postgres(pool.acquire().await?),
            Self::MySql(pool, _) => Link::MySql(pool.acquire().await?),
            Self::Sqlite(pool, _) => Link::Sqlite(pool.acquire().await?),
        })
    }

    /// Runs a piece of work over one connection within a limit of time. One that was broken off, or failed, is closed:
    /// what it was in the middle of must not meet the next piece of work.
    pub(crate) async fn with<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Link) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut taken = None;
        let worked = timeout(limit, async {
            let link = taken.insert(self.link().await?);
            work(link).await
        })
        .await;
        match worked {
            Ok(Ok(done)) => Ok(done),
            failed => {
                if let Some(link) = taken {
                    link.throw_away();
                }
                failed.unwrap_or_else(|_| Err(Error::timeout(limit)))
            }
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Postgres(pool, _) => pool.close().await,
            Self::MySql(pool, _) => pool.close().await,
            Self::Sqlite(pool, _) => pool.close().await,
        }
    }
}

macro_rules! query {
    ($sql:expr) => {{
        let Sql { text, values, .. } = $sql;
        let mut query = sqlx::query(AssertSqlSafe(text));
        for value in values {
            query = match value {
                Value::Null => query.bind(None::<String>),
                Value::Int(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

fn names<C: Column>(columns: &[C]) -> Vec<String> {
    columns.iter().map(|column| column.name().to_owned()).collect()
}

fn texts<R: Row>(row: &R) -> Result<Texts, Error>
where
    usize: sqlx::ColumnIndex<R>,
    for<'a> Option<String>: sqlx::Decode<'a, R::Database>,
{
    (0..row.len()).map(|at| Ok(row.try_get_unchecked::<Option<String>, usize>(at)?)).collect()
}

impl Link {
    pub(crate) async fn rows(&mut self, sql: Sql) -> Result<Vec<Texts>, Error> {
        match self {
            Self::Postgres(link) => query!(sql).fetch_all(&mut **link).await?.iter().map(texts).collect(),
            Self::MySql(link) => query!(sql).fetch_all(&mut **link).await?.iter().map(texts).collect(),
            Self::Sqlite(link) => query!(sql).fetch_all(&mut **link).await?.iter().map(texts).collect(),
        }
    }

    /// The names of the columns that a table expression gives.
    pub(crate) async fn columns(&mut self, expression: &Sql) -> Result<Vec<String>, Error> {
        let text = AssertSqlSafe(format!("SELECT * FROM {}", expression.text)).into_sql_str();
        Ok(match self {
            Self::Postgres(link) => names(link.prepare(text).await?.columns()),
            Self::MySql(link) => names(link.prepare(text).await?.columns()),
            Self::Sqlite(link) => names(link.prepare(text).await?.columns()),
        })
    }

    /// How many rows it changed.
    pub(crate) async fn execute(&mut self, sql: Sql) -> Result<u64, Error> {
        Ok(match self {
            Self::Postgres(link) => query!(sql).execute(&mut **link).await?.rows_affected(),
            Self::MySql(link) => query!(sql).execute(&mut **link).await?.rows_affected(),
            Self::Sqlite(link) => query!(sql).execute(&mut **link).await?.rows_affected(),
        })
    }

    /// A word about the transaction.
    pub(crate) async fn say(&mut self, words: &'static str) -> Result<(), Error> {
        match self {
            Self::Postgres(link) => sqlx::raw_sql(words).execute(&mut **link).await.map(drop),
            Self::MySql(link) => sqlx::raw_sql(words).execute(&mut **link).await.map(drop),
            Self::Sqlite(link) => sqlx::raw_sql(words).execute(&mut **link).await.map(drop),
        }?;
        Ok(())
    }

    fn throw_away(self) {
        match self {
            Self::Postgres(link) => drop(link.detach()),
            Self::MySql(link) => drop(link.detach()),
            Self::Sqlite(link) => drop(link.detach()),
        }
    }
}
