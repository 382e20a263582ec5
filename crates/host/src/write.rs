//! Captures into the app's own table, each once, and out of it again.

use uuid::Uuid;

use crate::engine::{Dialect, Link, Sql, Value};
use crate::layout::{Column, Kind, Table};
use crate::read::{named, needed, scalar};
use crate::{AppCapture, AppLink, Error, Host, Put};

/// Seconds that MySQL waits for a lock that another process of Filmgate's holds.
const LOCK_SECONDS: u32 = 5;

/// A row of the app's that is this capture's.
struct Row {
    key: String,
    assessment_id: Option<String>,
    assessment_type: Option<String>,
}

impl Host {
    /// Makes the app's table say what is known of a capture: a row where there is none, what it belongs to where the
    /// row does not say yet. What the app has linked by itself stays. The same again changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Schema`], or [`Error::Rejected`] where the app's table takes no such row.
    pub async fn put_capture(&self, capture: &AppCapture) -> Result<Put, Error> {
        self.question("put", async |link| self.put(link, capture).await).await
    }

    /// Removes a capture from the app's table, if it is there.
    ///
    /// # Errors
    /// As [`Host::put_capture`].
    pub async fn delete_capture(&self, session_key: &str, id: Uuid, filename: &str) -> Result<bool, Error> {
        self.question("delete", async |link| {
            let table = self.table(link, &self.shared.options.captures.table).await?;
            let Some(condition) = self.is_row(&table, session_key, id, filename)? else { return Ok(false) };
            let mut sql = Sql::new(table.dialect);
            // Without an alias: MariaDB takes none here.
            sql.push(&format!("DELETE FROM {} WHERE ", table.quoted()));
            condition(&mut sql, &table.quoted());
            Ok(link.execute(sql).await? > 0)
        })
        .await
    }

    async fn put(&self, link: &mut Link, capture: &AppCapture) -> Result<Put, Error> {
        let table = self.table(link, &self.shared.options.captures.table).await?;
        if is_numbered(needed(&table, &self.shared.options.captures, "id")?) {
            // The app's database gives the number, so nothing but a look tells whether the row is there: one at a time.
            let lock = format!("filmgate:{}", capture.id.simple());
            lock_row(link, table.dialect, &lock).await?;
            let put = self.put_row(link, &table, capture).await?;
            unlock_row(link, table.dialect, lock).await?;
            return Ok(put);
        }
        match self.put_row(link, &table, capture).await {
            // Somebody else wrote it between our look and our insert.
            Err(Error::Rejected(why)) => match self.find(link, &table, capture).await? {
                Some(row) => self.update(link, &table, capture, row).await,
                None => Err(Error::Rejected(why)),
            },
            put => put,
        }
    }

    async fn put_row(&self, link: &mut Link, table: &Table, capture: &AppCapture) -> Result<Put, Error> {
        match self.find(link, table, capture).await? {
            Some(row) => self.update(link, table, capture, row).await,
            None => self.insert(link, table, capture).await,
        }
    }

    async fn find(&self, link: &mut Link, table: &Table, capture: &AppCapture) -> Result<Option<Row>, Error> {
        let names = &self.shared.options.captures;
        let id = needed(table, names, "id")?;
        let (assessment, kind) = (named(table, names, "assessment_id")?, named(table, names, "assessment_type")?);
        let columns: Vec<&Column> =
            [Some(id), Some(assessment.unwrap_or(id)), Some(kind.unwrap_or(id))].into_iter().flatten().collect();
        let Some(condition) = self.is_row(table, &capture.session_key, capture.id, &capture.filename)? else {
            return Ok(None);
        };
        let texts: Vec<String> = columns.iter().map(|column| table.text(column, "c")).collect();
        let mut sql = Sql::new(table.dialect);
        sql.push(&format!("SELECT {} FROM {} c WHERE ", texts.join(", "), table.quoted()));
        condition(&mut sql, "c");
        let row = link.rows(sql).await?.into_iter().next();
        Ok(row.map(|row| {
            let mut fields = row.into_iter();
            let mut next = || fields.next().flatten();
            let (key, assessment_id, assessment_type) = (next().unwrap_or_default(), next(), next());
            Row { key, assessment_id: assessment.and(assessment_id), assessment_type: kind.and(assessment_type) }
        }))
    }

    /// What picks a capture's row out: its key where that is ours, else its session and filename.
    fn is_row<'a>(
        &self,
        table: &'a Table,
        session_key: &str,
        id: Uuid,
        filename: &str,
    ) -> Result<Option<impl FnOnce(&mut Sql, &str) + use<'a>>, Error> {
        let names = &self.shared.options.captures;
        let key = needed(table, names, "id")?;
        let (column, values, name) = if is_numbered(key) {
            let name = needed(table, names, "filename")?;
            let session = needed(table, names, "session_id")?;
            (session, session.key_values(session_key), Some((name, filename.to_owned())))
        } else {
            (key, key.key_values(&id.to_string()), None)
        };
        if values.is_empty() {
            return Ok(None);
        }
        Ok(Some(move |sql: &mut Sql, alias: &str| {
            column.is_one_of(sql, table.dialect, alias, values);
            if let Some((name, filename)) = name {
                sql.push(&format!(" AND {alias}.{} = ", table.dialect.quote(&name.name)));
                sql.bind_as(Value::Text(filename), &name.cast);
            }
        }))
    }

    async fn update(&self, link: &mut Link, table: &Table, capture: &AppCapture, row: Row) -> Result<Put, Error> {
        let names = &self.shared.options.captures;
        let Some(assessment) = named(table, names, "assessment_id")? else { return Ok(Put::Unchanged) };
        let kind = named(table, names, "assessment_type")?;
        if let Some(theirs) = &row.assessment_id {
            let theirs = scalar(assessment.kind, theirs);
            return Ok(if capture.assessment_id.is_some() {
                Put::Unchanged
            } else {
                Put::LinkedByApp(AppLink {
                    capture_key: row.key,
                    filename: capture.filename.clone(),
                    assessment_id: theirs,
                    assessment_type: row.assessment_type.unwrap_or_default(),
                })
            });
        }
        let Some(ours) = &capture.assessment_id else { return Ok(Put::Unchanged) };
        let quote = |column: &Column| table.dialect.quote(&column.name);
        let id = needed(table, names, "id")?;
        let mut sql = Sql::new(table.dialect);
        sql.push(&format!("UPDATE {} SET {} = ", table.quoted(), quote(assessment)));
        sql.bind_as(assessment_value(assessment, ours)?, &assessment.cast);
        if let Some(kind) = kind {
            sql.push(&format!(", {} = ", quote(kind)));
            sql.bind_as(Value::Text(capture.assessment_type.clone()), &kind.cast);
        }
        sql.push(" WHERE ");
        id.is_one_of(&mut sql, table.dialect, &table.quoted(), id.key_values(&row.key));
        // The app may have linked it just now: the first link stays.
        sql.push(&format!(" AND {} IS NULL", quote(assessment)));
        Ok(if link.execute(sql).await? > 0 { Put::Linked } else { Put::Unchanged })
    }

    async fn insert(&self, link: &mut Link, table: &Table, capture: &AppCapture) -> Result<Put, Error> {
        let names = &self.shared.options.captures;
        let mut columns: Vec<(&Column, Value)> = Vec::new();
        let id = needed(table, names, "id")?;
        if !is_numbered(id) {
            let value = id.stored_forms(&capture.id.to_string()).into_iter().next();
            columns.push((id, value.unwrap_or(Value::Null)));
        }
        columns.push((needed(table, names, "filename")?, Value::Text(capture.filename.clone())));
        let size = i64::try_from(capture.file_size_bytes).unwrap_or(i64::MAX);
        let optional = [
            ("file_size_bytes", Value::Int(size)),
            ("capture_trigger", Value::Text(capture.capture_trigger.clone())),
            ("assessment_type", Value::Text(capture.assessment_type.clone())),
            ("camera_settings_snapshot", capture.camera_settings_snapshot.clone().map_or(Value::Null, Value::Text)),
        ];
        for (ours, value) in optional {
            if let Some(column) = named(table, names, ours)? {
                columns.push((column, value));
            }
        }
        if let Some(column) = named(table, names, "timestamp")? {
            columns.push((column, time_value(column.kind, capture)));
        }
        if let Some(column) = named(table, names, "assessment_id")? {
            let value = capture.assessment_id.as_deref().map(|id| assessment_value(column, id)).transpose()?;
            columns.push((column, value.unwrap_or(Value::Null)));
        }
        let session = needed(table, names, "session_id")?;
        let quote = |column: &Column| table.dialect.quote(&column.name);
        let listed: Vec<String> = columns.iter().map(|(column, _)| quote(column)).collect();
        let mut sql = Sql::new(table.dialect);
        sql.push(&format!("INSERT INTO {} ({}, {}) SELECT ", table.quoted(), quote(session), listed.join(", ")));
        let sessions = &self.shared.options.sessions;
        if sessions.query.is_empty() {
            // The session's own key, as it is written there; and no row for a session that is gone.
            let from = self.table(link, &sessions.table).await?;
            let key = from.column(&sessions.id)?;
            let values = key.key_values(&capture.session_key);
            if values.is_empty() {
                return Ok(Put::SessionGone);
            }
            sql.push(&format!("s.{}", quote(key)));
            push_values(&mut sql, columns);
            sql.push(&format!(" FROM {} s WHERE ", from.quoted()));
            key.is_one_of(&mut sql, table.dialect, "s", values);
        } else {
            let Some(value) = session.stored_forms(&capture.session_key).into_iter().next() else {
                return Ok(Put::SessionGone);
            };
            sql.bind_as(value, &session.cast);
            push_values(&mut sql, columns);
        }
        Ok(if link.execute(sql).await? > 0 { Put::Inserted } else { Put::SessionGone })
    }
}

fn push_values(sql: &mut Sql, columns: Vec<(&Column, Value)>) {
    for (column, value) in columns {
        sql.push(", ").bind_as(value, &column.cast);
    }
}

/// Whether the app's database gives the keys itself.
pub(crate) fn is_numbered(key: &Column) -> bool {
    key.kind == Kind::Integer
}

/// An assessment's id for a column: JSON here, there whatever it is.
fn assessment_value(column: &Column, json: &str) -> Result<Value, Error> {
    let text = match serde_json::from_str(json) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => json.to_owned(),
    };
    if column.kind != Kind::Integer {
        // A UUID as the column writes it; anything else as it is.
        let form = Uuid::try_parse(&text).ok().and_then(|_| column.stored_forms(&text).into_iter().next());
        let is_narrow = column.kind != Kind::Text || column.declared.contains("(32)");
        return Ok(form.filter(|_| is_narrow).unwrap_or(Value::Text(text)));
    }
    let wrong = |_| Error::Rejected(format!("{} takes whole numbers, and the assessment's id is none", column.name));
    text.parse().map(Value::Int).map_err(wrong)
}

/// UTC without a zone, as SQLAlchemy's `DateTime` has it; and whatever else a column of times may be.
fn time_value(kind: Kind, capture: &AppCapture) -> Value {
    let time = capture.timestamp;
    match kind {
        Kind::Integer => Value::Int(time.as_second()),
        Kind::Number => Value::Text(time.strftime("%s.%6f").to_string()),
        Kind::TimeZoned => Value::Text(time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()),
        Kind::Text => Value::Text(time.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()),
        _ => Value::Text(time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()),
    }
}

/// Keeps other processes of Filmgate's away from this capture. Locks no row of the app's, and needs no right to.
async fn lock_row(link: &mut Link, dialect: Dialect, name: &str) -> Result<(), Error> {
    let mut sql = Sql::new(dialect);
    match dialect {
        Dialect::Postgres => {
            link.say("BEGIN").await?;
            sql.push("SELECT NULL::text FROM (SELECT pg_advisory_xact_lock(hashtextextended(")
                .bind(Value::Text(name.to_owned()))
                .push(", 0))) AS held");
            link.rows(sql).await.map(drop)
        }
        Dialect::MySql => {
            sql.push("SELECT CAST(GET_LOCK(")
                .bind(Value::Text(name.to_owned()))
                .push(&format!(", {LOCK_SECONDS}) AS CHAR)"));
            let rows = link.rows(sql).await?;
            match rows.first().and_then(|row| row.first()).and_then(Option::as_deref) {
                Some("1") => Ok(()),
                _ => Err(Error::Unavailable("another process is writing this capture".to_owned())),
            }
        }
        Dialect::Sqlite => link.say("BEGIN IMMEDIATE").await,
    }
}

async fn unlock_row(link: &mut Link, dialect: Dialect, name: String) -> Result<(), Error> {
    match dialect {
        Dialect::Postgres | Dialect::Sqlite => link.say("COMMIT").await,
        Dialect::MySql => {
            let mut sql = Sql::new(dialect);
            sql.push("SELECT CAST(RELEASE_LOCK(").bind(Value::Text(name)).push(") AS CHAR)");
            link.rows(sql).await.map(drop)
        }
    }
}
