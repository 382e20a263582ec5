//! What of the app's tables fits the configuration, what is missing, and which setting would change it.
//!
//! Changes nothing. Whether rows may be written is asked by statements that match none.

use crate::engine::{Dialect, Link, Sql};
use crate::layout::{Column, Kind, Table, load};
use crate::options::{CAPTURES_COLUMNS, SETTINGS_COLUMNS, TableNames};
use crate::rows::recording_mode;
use crate::write::is_numbered;
use crate::{Error, Host};

/// How much a finding hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It fits.
    Good,
    /// It works, and somebody should know what that means.
    Warning,
    /// It does not work.
    Bad,
}

/// One thing about the app's tables.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How much it hurts.
    pub level: Level,
    /// What was found, and what to do about it.
    pub what: String,
    /// The setting that would change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<&'static str>,
}

/// What is known of the app's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// In the order of the settings.
    pub findings: Vec<Finding>,
}

/// What Filmgate is to do with them.
#[derive(Clone, Copy, Debug)]
pub struct Uses {
    /// The app has a table of captures.
    pub has_captures: bool,
    /// Captures are written into it.
    pub writes: bool,
}

impl Report {
    /// Whether all of it works.
    pub fn fits(&self) -> bool {
        self.findings.iter().all(|finding| finding.level != Level::Bad)
    }

    fn good(&mut self, what: impl Into<String>) {
        self.findings.push(Finding { level: Level::Good, what: what.into(), setting: None });
    }

    fn warning(&mut self, setting: &'static str, what: impl Into<String>) {
        self.findings.push(Finding { level: Level::Warning, what: what.into(), setting: Some(setting) });
    }

    fn bad(&mut self, setting: &'static str, what: impl Into<String>) {
        self.findings.push(Finding { level: Level::Bad, what: what.into(), setting: Some(setting) });
    }

    /// The column of this name, if there is one; else what to set, with the names that there are.
    fn column<'a>(&mut self, setting: &'static str, table: &'a Table, name: &str) -> Option<&'a Column> {
        let found = table.find(name);
        if found.is_none() {
            let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            self.bad(setting, format!("{} has no column {name}; it has {}", table.name, names.join(", ")));
        }
        found
    }
}

impl Host {
    /// Looks at the app's tables as they are now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where they cannot be looked at.
    pub async fn check(&self, uses: Uses) -> Result<Report, Error> {
        let mut report = Report::default();
        self.ping().await?;
        let engine = match self.shared.engine.dialect() {
            Dialect::Postgres => "PostgreSQL",
            Dialect::MySql => "MySQL or MariaDB",
            Dialect::Sqlite => "SQLite",
        };
        report.good(format!("the app's database answers: {engine}"));
        let limit = self.write_limit();
        let engine = &self.shared.engine;
        engine.with(limit, async |link| self.check_users(link, &mut report).await).await?;
        engine.with(limit, async |link| self.check_sessions(link, &mut report).await).await?;
        engine.with(limit, async |link| self.check_settings(link, &mut report).await).await?;
        if uses.has_captures {
            let found = engine.with(limit, async |link| self.check_captures(link, &mut report, uses.writes).await);
            if let (Some(table), true) = (found.await?, uses.writes) {
                for (verb, sql) in writes(&table) {
                    let tried = engine.with(limit, async |link| link.execute(sql).await).await;
                    match tried {
                        // MySQL wants values for a row that never comes; whether it may come it has asked before.
                        Ok(_) | Err(Error::Rejected(_)) => report.good(format!("{verb} in {} is allowed", table.name)),
                        Err(error @ Error::Unavailable(_)) => return Err(error),
                        Err(error) => report.bad("host.database_url", format!("{verb} in {}: {error}", table.name)),
                    }
                }
            }
        } else {
            report.warning(
                "host.captures_table",
                "the app has no table of captures: its links are not seen before a cleanup",
            );
        }
        Ok(report)
    }

    async fn look_at(
        &self,
        link: &mut Link,
        report: &mut Report,
        setting: &'static str,
        name: &str,
    ) -> Result<Option<Table>, Error> {
        match load(link, self.shared.engine.dialect(), name).await {
            Ok(table) => Ok(Some(table)),
            Err(Error::Schema(why)) => {
                report.bad(setting, why);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn check_users(&self, link: &mut Link, report: &mut Report) -> Result<(), Error> {
        let names = &self.shared.options.users;
        if !names.query.is_empty() {
            match self.read_user(link, i64::MAX).await {
                Ok(_) => report.good("host.user_query can be asked"),
                Err(error) => report.bad("host.user_query", error.to_string()),
            }
            return Ok(());
        }
        let Some(table) = self.look_at(link, report, "host.users_table", &names.table).await? else { return Ok(()) };
        if let Some(id) = report.column("host.user_id_column", &table, &names.id) {
            match id.kind {
                Kind::Integer => {
                    report.good(format!("{}: {} users by {}", table.name, count(link, &table).await?, id.name));
                }
                _ => report.bad(
                    "host.user_id_column",
                    format!("{}.{} is {}: users are known by whole numbers", table.name, id.name, id.declared),
                ),
            }
        }
        if !names.name.is_empty() && table.find(&names.name).is_none() {
            report.warning(
                "host.username_column",
                format!("{} has no column {}: users are called by their number", table.name, names.name),
            );
        }
        for (setting, name, without) in [
            (
                "host.user_active_column",
                &names.active,
                "whoever the app has switched off comes in until their cookie ends",
            ),
            ("host.user_admin_column", &names.admin, "only identity.admin_user_ids are administrators"),
        ] {
            if name.is_empty() {
                report.warning(setting, format!("it is not set: {without}"));
            } else if let Some(column) = report.column(setting, &table, name) {
                report.good(format!("{}.{} is {}", table.name, column.name, column.declared));
            }
        }
        Ok(())
    }

    async fn check_sessions(&self, link: &mut Link, report: &mut Report) -> Result<(), Error> {
        let names = &self.shared.options.sessions;
        if !names.query.is_empty() {
            match self.read_session(link, "00000000-0000-4000-8000-000000000000").await {
                Ok(_) => report.good("host.session_query can be asked"),
                Err(error) => report.bad("host.session_query", error.to_string()),
            }
            return Ok(());
        }
        let Some(table) = self.look_at(link, report, "host.sessions_table", &names.table).await? else { return Ok(()) };
        if let Some(id) = report.column("host.session_id_column", &table, &names.id) {
            let key =
                if is_numbered(id) { "numbers, which Filmgate keeps beside ids of its own" } else { "texts or UUIDs" };
            report.good(format!("{}: {} sessions by {}: {key}", table.name, count(link, &table).await?, id.name));
            if !id.is_indexed {
                report.warning(
                    "host.session_id_column",
                    format!("no index begins with {}.{}: each look reads the table", table.name, id.name),
                );
            }
        }
        if let Some(user) = report.column("host.session_user_column", &table, &names.user)
            && user.kind != Kind::Integer
        {
            let what = format!("{}.{} is {}: users are known by whole numbers", table.name, user.name, user.declared);
            report.bad("host.session_user_column", what);
        }
        if names.settings.is_empty() {
            report.warning("host.session_settings_column", "it is empty: sessions have no camera settings");
        } else {
            report.column("host.session_settings_column", &table, &names.settings);
        }
        Ok(())
    }

    async fn check_settings(&self, link: &mut Link, report: &mut Report) -> Result<(), Error> {
        let options = &self.shared.options;
        let names = &options.settings;
        if options.sessions.settings.is_empty() && options.sessions.query.is_empty() {
            return Ok(());
        }
        if !names.query.is_empty() {
            match self.read_settings(link, "00000000-0000-4000-8000-000000000000").await {
                Ok(_) => report.good("host.settings_query can be asked"),
                Err(error) => report.bad("host.settings_query", error.to_string()),
            }
            return Ok(());
        }
        let Some(table) = self.look_at(link, report, "host.settings_table", &names.table).await? else { return Ok(()) };
        columns(report, "host.settings_columns", &table, names, &SETTINGS_COLUMNS);
        if let Some(mode) = names.of("recording_mode").and_then(|name| table.find(&name)) {
            let mut sql = Sql::new(table.dialect);
            let text = table.text(mode, "c");
            sql.push(&format!("SELECT DISTINCT {text} FROM {} c LIMIT 50", table.quoted()));
            for row in link.rows(sql).await? {
                let word = row.first().and_then(Option::as_deref);
                if recording_mode(word).is_err() {
                    let what = format!(
                        "{}.{} holds '{}', which is neither INTERVAL nor EVENT_DRIVEN",
                        table.name,
                        mode.name,
                        word.unwrap_or("NULL")
                    );
                    report.bad("host.settings_query", what);
                }
            }
        }
        Ok(())
    }

    async fn check_captures(&self, link: &mut Link, report: &mut Report, writes: bool) -> Result<Option<Table>, Error> {
        let names = &self.shared.options.captures;
        let Some(table) = self.look_at(link, report, "host.captures_table", &names.table).await? else {
            return Ok(None);
        };
        columns(report, "host.captures_columns", &table, names, &CAPTURES_COLUMNS);
        for needed in ["id", "session_id", "filename"] {
            if names.of(needed).is_none() {
                report.bad("host.captures_columns", format!("{} cannot do without its {needed}", table.name));
            }
        }
        let named = |ours: &str| names.of(ours).and_then(|name| table.find(&name));
        if named("session_id").is_some_and(|column| !column.is_indexed) {
            let what = format!(
                "no index begins with the session in {}: each link and each capture reads the table",
                table.name
            );
            report.warning("host.captures_columns", what);
        }
        if writes {
            let known: Vec<String> = CAPTURES_COLUMNS.iter().filter_map(|ours| names.of(ours)).collect();
            let is_known = |column: &Column| known.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
            for column in
                table.columns.iter().filter(|column| column.not_null && !column.has_default && !is_known(column))
            {
                let what = format!(
                    "{}.{} must be given and Filmgate knows no value for it: give it a default in the app's database",
                    table.name, column.name
                );
                report.bad("host.write_captures", what);
            }
            if named("assessment_id").is_some_and(|column| column.not_null) {
                let what = format!("the assessment in {} must be given, and a new capture has none", table.name);
                report.bad("host.write_captures", what);
            }
        }
        Ok(Some(table))
    }
}

/// Every column that the contract has.
fn columns(report: &mut Report, setting: &'static str, table: &Table, names: &TableNames, ours: &[&str]) {
    let mut found = Vec::new();
    for column in ours {
        let Some(name) = names.of(column) else { continue };
        found.extend(report.column(setting, table, &name).map(|column| column.name.clone()));
    }
    if found.len() == ours.iter().filter(|ours| names.of(ours).is_some()).count() {
        report.good(format!("{}: {}", table.name, found.join(", ")));
    }
}

async fn count(link: &mut Link, table: &Table) -> Result<String, Error> {
    let mut sql = Sql::new(table.dialect);
    sql.push(&format!("SELECT {} FROM {}", table.dialect.text("count(*)"), table.quoted()));
    let rows = link.rows(sql).await?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()).unwrap_or_default())
}

/// Statements that change nothing, and are refused where changing is not allowed.
fn writes(table: &Table) -> Vec<(&'static str, Sql)> {
    let (quoted, first) = (table.quoted(), table.columns.first());
    let Some(first) = first.map(|column| table.dialect.quote(&column.name)) else { return Vec::new() };
    let texts = [
        ("INSERT", format!("INSERT INTO {quoted} ({first}) SELECT {first} FROM {quoted} WHERE 1 = 0")),
        ("UPDATE", format!("UPDATE {quoted} SET {first} = {first} WHERE 1 = 0")),
        ("DELETE", format!("DELETE FROM {quoted} WHERE 1 = 0")),
    ];
    let sql = |(verb, text): (&'static str, String)| {
        let mut sql = Sql::new(table.dialect);
        sql.push(&text);
        (verb, sql)
    };
    texts.into_iter().map(sql).collect()
}
