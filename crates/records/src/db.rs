//! One way to ask either engine: SQL text, values, rows.
//!
//! **Promises** that a statement written once means the same on `SQLite` and on PostgreSQL. Placeholders are `?1`, `?2`
//! or plain `?`; a number binds as the type that its column has.
//! **Leaves** to the engines: connections, transactions, and what an error means.
//!
//! Where the dialects differ the statement stays with its table, and asks [`Db::dialect`].

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};
use uuid::Uuid;

use crate::postgres::Session;
use crate::{Error, Result};

/// A connection that a request works with.
#[derive(Clone, Copy)]
pub(crate) enum Db<'a> {
    Sqlite(&'a Connection),
    Postgres(&'a Session),
}

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A value on its way into a statement or out of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
    Uuid(Uuid),
}

/// What can be bound.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value<'_>;
}

/// The values of a statement, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::db::ToValue::to_value(&$value)),*] };
}
pub(crate) use values;

/// Binds a type by an expression of it.
macro_rules! to_value {
    ($($type:ty: |$it:ident| $value:expr),* $(,)?) => { $(
        impl ToValue for $type {
            fn to_value(&self) -> Value<'_> {
                let $it = self;
                $value
            }
        }
    )* };
}

to_value! {
    bool: |it| Value::Bool(*it),
    i64: |it| Value::Int(*it),
    u32: |it| Value::Int(i64::from(*it)),
    // Sizes and limits: none is larger than what a column holds.
    u64: |it| Value::Int(i64::try_from(*it).unwrap_or(i64::MAX)),
    usize: |it| Value::Int(i64::try_from(*it).unwrap_or(i64::MAX)),
    f64: |it| Value::Real(*it),
    str: |it| Value::Text(it),
    String: |it| Value::Text(it),
    [u8; 32]: |it| Value::Blob(it),
    Vec<u8>: |it| Value::Blob(it),
    Uuid: |it| Value::Uuid(*it),
}

impl ToValue for Value<'_> {
    fn to_value(&self) -> Value<'_> {
        *self
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Bool(value) => ToSqlOutput::Owned(i64::from(*value).into()),
            Self::Int(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Self::Real(value) => ToSqlOutput::Borrowed(ValueRef::Real(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            Self::Uuid(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value.as_bytes())),
        })
    }
}

/// A row of an answer.
#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    pub(crate) fn value(&self, index: usize) -> Result<Value<'a>> {
        match self {
            Self::Sqlite(row) => Ok(match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                ValueRef::Real(value) => Value::Real(value),
                ValueRef::Text(value) => Value::Text(std::str::from_utf8(value).map_err(|_| not(index, "UTF-8"))?),
                ValueRef::Blob(value) => Value::Blob(value),
            }),
            Self::Postgres(row) => crate::postgres::value(row, index),
        }
    }

    /// A column, as the type that the schema says it has.
    pub(crate) fn get<T: FromValue<'a>>(&self, index: usize) -> Result<T> {
        T::from_value(self.value(index)?).ok_or_else(|| not(index, std::any::type_name::<T>()))
    }
}

fn not(column: usize, wanted: &str) -> Error {
    Error::Malformed(format!("column {column} of a row is no {wanted}"))
}

/// What a column can be read as.
pub(crate) trait FromValue<'a>: Sized {
    fn from_value(value: Value<'a>) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $($pattern:pat => $value:expr),+;)*) => { $(
        impl<'a> FromValue<'a> for $type {
            fn from_value(value: Value<'a>) -> Option<Self> {
                match value {
                    $($pattern => $value,)+
                    _ => None,
                }
            }
        }
    )* };
}

from_value! {
    bool: Value::Bool(value) => Some(value), Value::Int(value) => Some(value != 0);
    i64: Value::Int(value) => Some(value);
    u32: Value::Int(value) => value.try_into().ok();
    u64: Value::Int(value) => value.try_into().ok();
    f64: Value::Real(value) => Some(value);
    &'a str: Value::Text(value) => Some(value);
    String: Value::Text(value) => Some(value.to_owned());
    Vec<u8>: Value::Blob(value) => Some(value.to_owned());
    [u8; 32]: Value::Blob(value) => value.try_into().ok();
    Uuid: Value::Uuid(value) => Some(value), Value::Blob(value) => Uuid::from_slice(value).ok();
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        if value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

impl Db<'_> {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Whether an earlier run of this request may have been committed, unseen. Never with `SQLite`: there a commit in
    /// doubt is final.
    pub(crate) fn is_in_doubt(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(session) => session.is_in_doubt,
        }
    }

    /// Behind a SELECT whose rows must not change before this request is committed. `SQLite` has one writer.
    pub(crate) fn for_share(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR SHARE",
        }
    }

    /// Behind a SELECT whose rows this request will change.
    pub(crate) fn for_update(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    }

    /// Keeps this request and others about the same session apart until it is committed: frames are compared with their
    /// neighbours, which another node may be processing or deleting just now.
    pub(crate) fn hold_session(&self, session_id: Uuid) -> Result<()> {
        if self.dialect() == Dialect::Postgres {
            let hold = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtextextended(?, 0))) AS held";
            self.one(hold, &values![session_id.to_string()], |_| Ok(()))?;
        }
        Ok(())
    }

    /// Behind a SELECT for whatever of its rows no other request is changing just now.
    pub(crate) fn skip_locked(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize> {
        match self {
            Self::Sqlite(db) => Ok(db.prepare_cached(sql)?.execute(params_from_iter(values))?),
            Self::Postgres(session) => session.execute(sql, values),
        }
    }

    /// Every row of an answer.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self {
            Self::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                let mut rows = statement.query(params_from_iter(values))?;
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(read(&Row::Sqlite(row))?);
                }
                Ok(all)
            }
            Self::Postgres(session) => {
                session.query(sql, values)?.iter().map(|row| read(&Row::Postgres(row))).collect()
            }
        }
    }

    /// The first row of an answer, where there is one.
    pub(crate) fn optional<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self {
            Self::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                let mut rows = statement.query(params_from_iter(values))?;
                rows.next()?.map(|row| read(&Row::Sqlite(row))).transpose()
            }
            Self::Postgres(session) => {
                session.query(sql, values)?.first().map(|row| read(&Row::Postgres(row))).transpose()
            }
        }
    }

    /// The first row of an answer; [`Error::NotFound`] where there is none.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.optional(sql, values, read)?.ok_or(Error::NotFound)
    }

    /// The first column of the only row.
    pub(crate) fn scalar<T>(&self, sql: &str, values: &[Value<'_>]) -> Result<T>
    where
        T: for<'a> FromValue<'a>,
    {
        self.one(sql, values, |row| row.get(0))
    }
}

/// A condition for each thing that a listing is asked for, and the values it needs.
pub(crate) struct Conditions<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    /// Those that are always there.
    pub(crate) fn new(sql: &str, values: &[Value<'a>]) -> Self {
        Self { sql: sql.to_owned(), values: values.to_vec() }
    }

    /// Only what is asked for is written, so that the engine finds the index of each.
    pub(crate) fn and(&mut self, condition: &str, value: Option<&'a (impl ToValue + ?Sized)>) {
        if let Some(value) = value {
            self.values.push(value.to_value());
            self.sql.push_str(" AND ");
            self.sql.push_str(&condition.replace('?', &format!("?{}", self.values.len())));
        }
    }

    /// A condition without a value: `sql`, or its opposite.
    pub(crate) fn and_is(&mut self, sql: &str, wanted: Option<bool>) {
        if let Some(wanted) = wanted {
            self.sql.push_str(if wanted { " AND " } else { " AND NOT " });
            self.sql.push_str(sql);
        }
    }

    /// The last of the statement, with the number of rows.
    pub(crate) fn end(mut self, order: &str, limit: usize) -> (String, Vec<Value<'a>>) {
        self.values.push(Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
        self.sql.push(' ');
        self.sql.push_str(order);
        self.sql.push_str(" LIMIT ?");
        self.sql.push_str(&self.values.len().to_string());
        (self.sql, self.values)
    }
}
