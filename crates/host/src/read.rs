//! Questions: who is this user, whose is this session, what has the app linked.

use std::sync::Arc;
use std::time::Instant;

use crate::cache::{Cache, Known};
use crate::engine::{Link, Sql, Texts, Value};
use crate::layout::{Column, Kind, Table, canonical};
use crate::options::{CAPTURES_COLUMNS, SETTINGS_COLUMNS, TableNames};
use crate::rows::{flag, is_one_of, recording_mode, seconds};
use crate::{AppCaptureRow, AppLink, AppSession, AppSettings, AppUser, Error, Host, SESSIONS, SETTINGS, uuid_of};

/// Longer keys are nobody's.
const KEY_BYTES_MAX: usize = 255;
/// What a query of the operator's may give besides the key.
const USER_QUERY: [&str; 4] = ["id", "username", "is_active", "is_admin"];
const SESSION_QUERY: [&str; 3] = ["id", "user_id", "camera_settings_id"];

impl Host {
    /// The user of this number, as the app knows them; `None`: it knows nobody of this number.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the database is away and nobody of this number was seen lately; [`Error::Schema`]
    /// where its tables are not as configured.
    pub async fn user(&self, id: i64) -> Result<Option<AppUser>, Error> {
        self.ask("user", &self.shared.users, id, async |link| self.read_user(link, id).await).await
    }

    /// The session of this key, with its settings. The key may come from anybody.
    ///
    /// # Errors
    /// As [`Host::user`].
    pub async fn session(&self, key: &str) -> Result<Option<Arc<AppSession>>, Error> {
        if key.len() > KEY_BYTES_MAX {
            // No column of keys has it, and nobody's cache is to be filled with such.
            return Ok(None);
        }
        let key = canonical(key);
        self.ask("session", &self.shared.sessions, key.clone(), async |link| {
            Ok(self.read_session(link, &key).await?.map(Arc::new))
        })
        .await
    }

    /// What the app's own table says the captures of a session belong to. Never from the cache.
    ///
    /// # Errors
    /// As [`Host::user`].
    pub async fn links(&self, session_key: &str) -> Result<Vec<AppLink>, Error> {
        self.question("links", async |link| self.read_links(link, session_key).await).await
    }

    /// The filenames of those of these captures, named by the app's keys, that are of this session: pairs of key and
    /// filename.
    ///
    /// # Errors
    /// As [`Host::user`].
    pub async fn filenames(&self, session_key: &str, keys: &[String]) -> Result<Vec<(String, String)>, Error> {
        self.question("filenames", async |link| {
            let names = &self.shared.options.captures;
            let table = self.table(link, &names.table).await?;
            let (id, filename) = (needed(&table, names, "id")?, needed(&table, names, "filename")?);
            let mut values: Vec<Value> = keys.iter().flat_map(|key| id.key_values(key)).collect();
            values.truncate(10_000);
            if values.is_empty() {
                return Ok(Vec::new());
            }
            let Some(mut sql) = of_session(&table, names, &[id, filename], session_key)? else { return Ok(Vec::new()) };
            sql.push(" AND ");
            id.is_one_of(&mut sql, table.dialect, "c", values);
            let rows = link.rows(sql).await?;
            Ok(rows.into_iter().map(|row| (key_text(&row, 0), text(&row, 1))).collect())
        })
        .await
    }

    /// Captures of the app's in the order of their keys, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Host::user`].
    pub async fn captures(&self, after: Option<&str>, limit: usize) -> Result<Vec<AppCaptureRow>, Error> {
        self.question("captures", async |link| self.read_captures(link, after, limit).await).await
    }

    /// How many captures the app has; of those taken from `from` and before `until`, as `2026-11-24 08:00:00`, where
    /// they say so.
    ///
    /// # Errors
    /// As [`Host::user`].
    pub async fn count_captures(&self, from: Option<&str>, until: Option<&str>) -> Result<u64, Error> {
        self.question("count", async |link| {
            let names = &self.shared.options.captures;
            let table = self.table(link, &names.table).await?;
            let dialect = table.dialect;
            let mut sql = Sql::new(dialect);
            sql.push(&format!("SELECT {} FROM {} c WHERE 1 = 1", dialect.text("count(*)"), table.quoted()));
            for (time, sign) in [(from, ">="), (until, "<")] {
                let Some(time) = time else { continue };
                let column = needed(&table, names, "timestamp")?;
                sql.push(&format!(" AND c.{} {sign} ", dialect.quote(&column.name)));
                sql.bind_as(Value::Text(time.to_owned()), &column.cast);
            }
            let rows = link.rows(sql).await?;
            Ok(rows.first().and_then(|row| text(row, 0).parse().ok()).unwrap_or(0))
        })
        .await
    }

    /// A question whose answer is kept. One at a time for each key.
    async fn ask<K, V>(
        &self,
        kind: &'static str,
        cache: &Cache<K, V>,
        key: K,
        question: impl AsyncFnOnce(&mut Link) -> Result<Option<V>, Error>,
    ) -> Result<Option<V>, Error>
    where
        K: Clone + Eq + std::hash::Hash,
        V: Clone,
    {
        let metrics = &self.shared.metrics;
        if let Some(known) = self.without_asking(kind, cache, &key) {
            return known;
        }
        let turn = cache.turn(&key);
        let _turn = turn.take().await;
        // Whoever was before us may have the answer, or have found nobody there.
        if let Some(known) = self.without_asking(kind, cache, &key) {
            return known;
        }
        let asked_at = Instant::now();
        let outcome = self.shared.engine.with(self.shared.options.timeout, question).await;
        self.noted(&outcome, false);
        match outcome {
            Ok(answer) => {
                metrics.count(kind, if answer.is_some() { "answered" } else { "absent" });
                cache.keep(key, answer.clone(), asked_at);
                let kept = self.shared.users.len() + self.shared.sessions.len();
                metrics.cache_entries.set(i64::try_from(kept).unwrap_or(i64::MAX));
                Ok(answer)
            }
            Err(error) if error.is_unavailable() => self.without_asking(kind, cache, &key).unwrap_or(Err(error)),
            Err(error) => {
                metrics.count(kind, "failed");
                tracing::warn!(%error, kind, "a question to the app's database cannot be answered; run filmgate host check");
                Err(error)
            }
        }
    }

    /// What is known without asking: an answer that still counts, or, while the database is away, whatever is believed.
    fn without_asking<K, V>(&self, kind: &'static str, cache: &Cache<K, V>, key: &K) -> Option<Result<Option<V>, Error>>
    where
        K: Clone + Eq + std::hash::Hash,
        V: Clone,
    {
        let metrics = &self.shared.metrics;
        let known = cache.known(key, Instant::now());
        if let Known::Fresh(answer) = known {
            metrics.count(kind, "cached");
            return Some(Ok(answer));
        }
        let why = self.away()?;
        self.look();
        if let Known::Believed(value) = known {
            metrics.count(kind, "believed");
            return Some(Ok(Some(value)));
        }
        metrics.count(kind, "unavailable");
        Some(Err(why))
    }

    /// A question whose answer is not kept, and for which somebody can wait a little longer.
    pub(crate) async fn question<T>(
        &self,
        kind: &'static str,
        question: impl AsyncFnOnce(&mut Link) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(why) = self.away() {
            self.look();
            self.shared.metrics.count(kind, "unavailable");
            return Err(why);
        }
        let outcome = self.shared.engine.with(self.write_limit(), question).await;
        self.noted(&outcome, false);
        let word = match &outcome {
            Ok(_) => "answered",
            Err(error) if error.is_unavailable() => "unavailable",
            Err(_) => "failed",
        };
        self.shared.metrics.count(kind, word);
        outcome
    }

    pub(crate) async fn read_user(&self, link: &mut Link, id: i64) -> Result<Option<AppUser>, Error> {
        let names = &self.shared.options.users;
        let row = if names.query.is_empty() {
            let table = self.table(link, &names.table).await?;
            let key = table.column(&names.id)?;
            let wanted = |name: &str| if name.is_empty() { Ok(None) } else { table.column(name).map(Some) };
            // A name is for people's eyes: without one there is the number.
            let columns = [Some(key), table.find(&names.name), wanted(&names.active)?, wanted(&names.admin)?];
            let mut sql = select(&table, &columns, "u");
            sql.push(&format!(" FROM {} u WHERE ", table.quoted()));
            key.is_one_of(&mut sql, table.dialect, "u", key.key_values(&id.to_string()));
            let row = link.rows(sql).await?.into_iter().next();
            row.map(|row| (row, !names.active.is_empty(), !names.admin.is_empty()))
        } else {
            let (row, gives) = self.by_query(link, &names.query, &Value::Int(id), (&USER_QUERY, 1)).await?;
            row.map(|row| (row, gives[2], gives[3]))
        };
        let Some((row, has_active, has_admin)) = row else { return Ok(None) };
        if text(&row, 0) != id.to_string() {
            return Err(Error::Schema("asked for one user, the app's database told of another".to_owned()));
        }
        let name = column(&row, 1).filter(|name| !name.is_empty()).map_or_else(|| format!("user {id}"), str::to_owned);
        Ok(Some(AppUser {
            id,
            username: name,
            is_active: !has_active || is_one_of(&names.active_values, column(&row, 2)),
            is_admin: has_admin && is_one_of(&names.admin_values, column(&row, 3)),
        }))
    }

    pub(crate) async fn read_session(&self, link: &mut Link, key: &str) -> Result<Option<AppSession>, Error> {
        let names = &self.shared.options.sessions;
        let has_settings = !names.settings.is_empty() || !names.query.is_empty();
        let in_one = names.query.is_empty() && self.shared.options.settings.query.is_empty();
        let (row, joined) = if names.query.is_empty() {
            let table = self.table(link, &names.table).await?;
            let id = table.column(&names.id)?;
            let values = id.key_values(key);
            if values.is_empty() {
                return Ok(None);
            }
            let settings = if has_settings { Some(table.column(&names.settings)?) } else { None };
            let mut sql = select(&table, &[Some(id), Some(table.column(&names.user)?), settings], "s");
            let joined = match settings.filter(|_| in_one) {
                Some(settings) => Some(self.join_settings(link, &mut sql, &table, settings).await?),
                None => None,
            };
            match &joined {
                Some((join, _)) => sql.push(join),
                None => sql.push(&format!(" FROM {} s", table.quoted())),
            };
            sql.push(" WHERE ");
            id.is_one_of(&mut sql, table.dialect, "s", values);
            (link.rows(sql).await?.into_iter().next(), joined.map(|(_, at)| at))
        } else {
            let key = Value::Text(key.to_owned());
            (self.by_query(link, &names.query, &key, (&SESSION_QUERY, 2)).await?.0, None)
        };
        let Some(row) = row else { return Ok(None) };
        let key = key_text(&row, 0);
        let wrong = || Error::Schema(format!("{}.{} is no whole number", names.table, names.user));
        let user_id = text(&row, 1).trim().parse().map_err(|_| wrong())?;
        let settings = match (joined, column(&row, 2)) {
            (Some(at), Some(_)) => settings_from(&row[at..])?,
            (None, Some(settings)) if has_settings => self.read_settings(link, &canonical(settings)).await?,
            _ => None,
        };
        Ok(Some(AppSession { id: uuid_of(SESSIONS, &key), key, user_id, settings }))
    }

    /// The columns of the settings and the join that finds them; and where they begin.
    async fn join_settings(
        &self,
        link: &mut Link,
        sql: &mut Sql,
        sessions: &Table,
        settings: &Column,
    ) -> Result<(String, usize), Error> {
        let names = &self.shared.options.settings;
        let table = self.table(link, &names.table).await?;
        for column in columns_of(&table, names, &SETTINGS_COLUMNS)? {
            sql.push(", ").push(&column.map_or_else(|| "NULL".to_owned(), |column| table.text(column, "c")));
        }
        let quote = |name: &str| sessions.dialect.quote(name);
        let id = needed(&table, names, "id")?;
        let join = format!(
            " FROM {} s LEFT JOIN {} c ON c.{} = s.{}",
            sessions.quoted(),
            table.quoted(),
            quote(&id.name),
            quote(&settings.name)
        );
        Ok((join, 3))
    }

    pub(crate) async fn read_settings(&self, link: &mut Link, key: &str) -> Result<Option<AppSettings>, Error> {
        let names = &self.shared.options.settings;
        if !names.query.is_empty() {
            let key = Value::Text(key.to_owned());
            let row = self.by_query(link, &names.query, &key, (&SETTINGS_COLUMNS, 3)).await?.0;
            return row.map_or(Ok(None), |row| settings_from(&row));
        }
        let table = self.table(link, &names.table).await?;
        let id = needed(&table, names, "id")?;
        let values = id.key_values(key);
        if values.is_empty() {
            return Ok(None);
        }
        let mut sql = select(&table, &columns_of(&table, names, &SETTINGS_COLUMNS)?, "c");
        sql.push(&format!(" FROM {} c WHERE ", table.quoted()));
        id.is_one_of(&mut sql, table.dialect, "c", values);
        link.rows(sql).await?.first().map_or(Ok(None), |row| settings_from(row))
    }

    async fn read_links(&self, link: &mut Link, session_key: &str) -> Result<Vec<AppLink>, Error> {
        let names = &self.shared.options.captures;
        let table = self.table(link, &names.table).await?;
        let Some(assessment) = named(&table, names, "assessment_id")? else { return Ok(Vec::new()) };
        let columns = [needed(&table, names, "id")?, needed(&table, names, "filename")?, assessment];
        let kind = named(&table, names, "assessment_type")?;
        let columns: Vec<&Column> = columns.into_iter().chain(kind).collect();
        let Some(mut sql) = of_session(&table, names, &columns, session_key)? else { return Ok(Vec::new()) };
        sql.push(&format!(" AND c.{} IS NOT NULL", table.dialect.quote(&assessment.name)));
        let rows = link.rows(sql).await?;
        Ok(rows
            .into_iter()
            .map(|row| AppLink {
                capture_key: key_text(&row, 0),
                filename: text(&row, 1),
                assessment_id: scalar(assessment.kind, &text(&row, 2)),
                assessment_type: text(&row, 3),
            })
            .collect())
    }

    async fn read_captures(
        &self,
        link: &mut Link,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AppCaptureRow>, Error> {
        let names = &self.shared.options.captures;
        let table = self.table(link, &names.table).await?;
        let dialect = table.dialect;
        let id = needed(&table, names, "id")?;
        let columns = columns_of(&table, names, &CAPTURES_COLUMNS)?;
        let mut sql = select(&table, &columns, "c");
        sql.push(&format!(" FROM {} c", table.quoted()));
        let place = format!("c.{}", dialect.quote(&id.name));
        if let Some(after) = after {
            // As the column writes it, not as the key is named outside.
            let Some(value) = id.stored_forms(after).into_iter().next() else { return Ok(Vec::new()) };
            sql.push(&format!(" WHERE {place} > ")).bind_as(value, &id.cast);
        }
        sql.push(&format!(" ORDER BY {place} LIMIT {limit}"));
        let assessment_kind = columns[6].map_or(Kind::Text, |column| column.kind);
        let rows = link.rows(sql).await?;
        Ok(rows
            .into_iter()
            .map(|row| AppCaptureRow {
                id: key_text(&row, 0),
                session_id: key_text(&row, 1),
                filename: text(&row, 2),
                file_size_bytes: column(&row, 3).and_then(|text| text.trim().parse().ok()),
                capture_trigger: column(&row, 4).map(str::to_owned),
                timestamp: column(&row, 5).map(str::to_owned),
                assessment_id: column(&row, 6).map(|text| scalar(assessment_kind, text)),
                assessment_type: column(&row, 7).map(str::to_owned),
                camera_settings_snapshot: column(&row, 8).map(str::to_owned),
            })
            .collect())
    }

    /// One row by a query of the operator's, its columns as texts in the order of `wanted`, the first `needs` of which
    /// must be there; and which of them it gives.
    async fn by_query(
        &self,
        link: &mut Link,
        query: &str,
        id: &Value,
        (wanted, needs): (&[&str], usize),
    ) -> Result<(Option<Texts>, Vec<bool>), Error> {
        let dialect = self.shared.engine.dialect();
        let mut inner = Sql::new(dialect);
        let query = query.trim().trim_end_matches(';');
        let postgres_type = if matches!(id, Value::Int(_)) { "bigint" } else { "text" };
        let mut parts = query.split(":id");
        inner.push("(").push(parts.next().unwrap_or_default());
        for part in parts {
            inner.bind_as(id.clone(), postgres_type).push(part);
        }
        inner.push(") q");
        let given = link.columns(&inner).await?;
        let gives: Vec<bool> = wanted.iter().map(|name| given.iter().any(|is| is.eq_ignore_ascii_case(name))).collect();
        if let Some((missing, _)) = wanted.iter().zip(&gives).take(needs).find(|(_, gives)| !**gives) {
            return Err(Error::Schema(format!("the query configured gives no column {missing}")));
        }
        let texts: Vec<String> = wanted
            .iter()
            .zip(&gives)
            .map(|(name, gives)| if *gives { dialect.text(&format!("q.{name}")) } else { "NULL".to_owned() })
            .collect();
        let sql = inner.wrapped(&format!("SELECT {} FROM ", texts.join(", ")));
        match link.rows(sql).await {
            Ok(rows) => Ok((rows.into_iter().next(), gives)),
            // A key that is no value of the column's type: no row has it.
            Err(Error::Rejected(_)) => Ok((None, gives)),
            Err(error) => Err(error),
        }
    }
}

/// `SELECT` these columns as texts; NULL for one that there is not.
fn select(table: &Table, columns: &[Option<&Column>], alias: &str) -> Sql {
    let mut sql = Sql::new(table.dialect);
    let texts: Vec<String> = columns
        .iter()
        .map(|column| column.map_or_else(|| "NULL".to_owned(), |column| table.text(column, alias)))
        .collect();
    sql.push("SELECT ").push(&texts.join(", "));
    sql
}

/// These columns of the captures of a session; `None`: no session has this key.
pub(crate) fn of_session(
    table: &Table,
    names: &TableNames,
    columns: &[&Column],
    session_key: &str,
) -> Result<Option<Sql>, Error> {
    let session = needed(table, names, "session_id")?;
    let values = session.key_values(session_key);
    if values.is_empty() {
        return Ok(None);
    }
    let columns: Vec<_> = columns.iter().map(|column| Some(*column)).collect();
    let mut sql = select(table, &columns, "c");
    sql.push(&format!(" FROM {} c WHERE ", table.quoted()));
    session.is_one_of(&mut sql, table.dialect, "c", values);
    Ok(Some(sql))
}

/// A column of the contract's, where the app has it; an error where it should have and has not.
pub(crate) fn named<'a>(table: &'a Table, names: &TableNames, ours: &str) -> Result<Option<&'a Column>, Error> {
    names.of(ours).map(|theirs| table.column(&theirs)).transpose()
}

pub(crate) fn needed<'a>(table: &'a Table, names: &TableNames, ours: &str) -> Result<&'a Column, Error> {
    named(table, names, ours)?.ok_or_else(|| Error::Schema(format!("{} cannot do without its {ours}", table.name)))
}

fn columns_of<'a>(table: &'a Table, names: &TableNames, ours: &[&str]) -> Result<Vec<Option<&'a Column>>, Error> {
    ours.iter().map(|ours| named(table, names, ours)).collect()
}

fn settings_from(row: &[Option<String>]) -> Result<Option<AppSettings>, Error> {
    let at = |index: usize| row.get(index).and_then(Option::as_deref);
    // A session may name settings that are gone.
    let Some(key) = at(0).map(canonical) else { return Ok(None) };
    let mode = recording_mode(at(2))?;
    let interval = seconds(at(3))?;
    Ok(Some(AppSettings {
        id: uuid_of(SETTINGS, &key),
        setting_name: at(1).map_or_else(|| format!("settings {key}"), str::to_owned),
        recording_mode: mode,
        // The timer of a page that is told nothing ticks once a second.
        interval_seconds: if mode == crate::RecordingMode::Interval { interval.or(Some(1)) } else { interval },
        resolution: at(4).unwrap_or_default().to_owned(),
        capture_on_button_click: flag("capture_on_button_click", at(5))?,
        capture_on_message_send: flag("capture_on_message_send", at(6))?,
        capture_on_question_start: flag("capture_on_question_start", at(7))?,
        // An app without the column has no inactive ones.
        is_active: at(8).is_none() || flag("is_active", at(8))?,
        is_default: flag("is_default", at(9))?,
        key,
    }))
}

fn column(row: &Texts, at: usize) -> Option<&str> {
    row.get(at).and_then(Option::as_deref)
}

fn text(row: &Texts, at: usize) -> String {
    column(row, at).unwrap_or_default().to_owned()
}

fn key_text(row: &Texts, at: usize) -> String {
    canonical(column(row, at).unwrap_or_default())
}

/// An assessment's id as JSON: a number where the column is of numbers.
pub(crate) fn scalar(kind: Kind, text: &str) -> String {
    if kind == Kind::Integer && text.parse::<i64>().is_ok() {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
