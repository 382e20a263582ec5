//! What an operator says about the app's database: where it is, how its tables are called, how long an answer counts.

use std::fmt;
use std::time::Duration;

use crate::Error;

/// Everything about the app's database. [`HostOptions::new`] gives the defaults, which are the contract's names.
#[derive(Clone)]
pub struct HostOptions {
    /// `postgresql://`, `mysql://`, `mariadb://` or `sqlite:`, as the app's own `SQLALCHEMY_DATABASE_URI` is written.
    /// It may hold a password: it is never shown.
    pub database_url: String,
    /// Longest wait for an answer, connecting included.
    pub timeout: Duration,
    /// Connections to it at once.
    pub connections_max: u32,
    /// For how long an answer counts while the database is there.
    pub cache: Duration,
    /// For how long one that there is nothing counts.
    pub cache_absent: Duration,
    /// For how long after its last answer something goes on being believed while the database is away.
    pub verified_for: Duration,
    /// Answers kept, of each kind.
    pub cache_entries_max: usize,
    /// The app's users.
    pub users: UserNames,
    /// The app's assessment sessions.
    pub sessions: SessionNames,
    /// The app's camera settings.
    pub settings: TableNames,
    /// The app's captures.
    pub captures: TableNames,
}

/// How the app's users are found.
#[derive(Clone, Debug)]
pub struct UserNames {
    /// The table; with its schema in front where that must be said.
    pub table: String,
    /// Its primary key.
    pub id: String,
    /// What people call themselves. Need not be there.
    pub name: String,
    /// What says that somebody may still sign in; empty: everybody may.
    pub active: String,
    /// The values of it that mean yes.
    pub active_values: Vec<String>,
    /// What says that somebody is an administrator; empty: nobody is.
    pub admin: String,
    /// The values of it that mean yes.
    pub admin_values: Vec<String>,
    /// Instead of the table: a SELECT of `id` and, as far as there are, `username`, `is_active`, `is_admin`, for `:id`.
    pub query: String,
}

/// How the app's sessions are found.
#[derive(Clone, Debug)]
pub struct SessionNames {
    /// The table.
    pub table: String,
    /// Its primary key.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// Its camera settings; empty: sessions have none.
    pub settings: String,
    /// Instead of the table: a SELECT of `id`, `user_id` and, as far as there are, `camera_settings_id`, for `:id`.
    pub query: String,
}

/// A table whose columns are called as in the contract but for those renamed.
#[derive(Clone, Debug)]
pub struct TableNames {
    /// The table.
    pub table: String,
    /// Pairs of the contract's name and the app's; an empty one of the app's: it has no such column.
    pub renamed: Vec<(String, String)>,
    /// Instead of the table, for reading alone: a SELECT of the contract's columns, for `:id`.
    pub query: String,
}

/// The contract's columns of camera settings.
pub const SETTINGS_COLUMNS: [&str; 10] = [
    "id",
    "setting_name",
    "recording_mode",
    "interval_seconds",
    "resolution",
    "capture_on_button_click",
    "capture_on_message_send",
    "capture_on_question_start",
    "is_active",
    "is_default",
];

/// The contract's columns of captures.
pub const CAPTURES_COLUMNS: [&str; 9] = [
    "id",
    "session_id",
    "filename",
    "file_size_bytes",
    "capture_trigger",
    "timestamp",
    "assessment_id",
    "assessment_type",
    "camera_settings_snapshot",
];

/// What a flag's column holds where the answer is yes.
pub const YES: [&str; 6] = ["1", "true", "t", "yes", "y", "on"];

impl TableNames {
    fn new(table: &str) -> Self {
        Self { table: table.to_owned(), renamed: Vec::new(), query: String::new() }
    }

    /// The app's name of a column of the contract's; `None`: it has none.
    pub(crate) fn of(&self, column: &str) -> Option<String> {
        let renamed = self.renamed.iter().find(|(ours, _)| ours == column);
        let name = renamed.map_or_else(|| column.to_owned(), |(_, theirs)| theirs.clone());
        (!name.is_empty()).then_some(name)
    }
}

impl HostOptions {
    /// The contract's names, an answer that counts for five seconds, and for an hour while the database is away.
    pub fn new(database_url: impl Into<String>) -> Self {
        let yes = || YES.map(str::to_owned).to_vec();
        Self {
            database_url: database_url.into(),
            timeout: Duration::from_secs(2),
            connections_max: 4,
            cache: Duration::from_secs(5),
            cache_absent: Duration::from_secs(1),
            verified_for: Duration::from_secs(3600),
            cache_entries_max: 100_000,
            users: UserNames {
                table: "users".to_owned(),
                id: "id".to_owned(),
                name: "username".to_owned(),
                active: String::new(),
                active_values: yes(),
                admin: String::new(),
                admin_values: yes(),
                query: String::new(),
            },
            sessions: SessionNames {
                table: "assessment_sessions".to_owned(),
                id: "id".to_owned(),
                user: "user_id".to_owned(),
                settings: "camera_settings_id".to_owned(),
                query: String::new(),
            },
            settings: TableNames::new("camera_settings"),
            captures: TableNames::new("camera_captures"),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str, name: &str| Err(Error::Options(format!("{what}: '{name}' is no name in SQL")));
        for (what, table) in [
            ("the table of users", &self.users.table),
            ("the table of sessions", &self.sessions.table),
            ("the table of camera settings", &self.settings.table),
            ("the table of captures", &self.captures.table),
        ] {
            if table.split('.').count() > 2 || !table.split('.').all(is_name) {
                return wrong(what, table);
            }
        }
        let users = &self.users;
        let needed = [&users.id, &self.sessions.id, &self.sessions.user].map(|name| (name, false));
        let perhaps = [&users.name, &users.active, &users.admin, &self.sessions.settings].map(|name| (name, true));
        for (name, may_be_empty) in needed.into_iter().chain(perhaps) {
            if !(is_name(name) || name.is_empty() && may_be_empty) {
                return wrong("a column", name);
            }
        }
        for (names, columns) in [(&self.settings, &SETTINGS_COLUMNS[..]), (&self.captures, &CAPTURES_COLUMNS[..])] {
            for (ours, theirs) in &names.renamed {
                if !columns.contains(&ours.as_str()) {
                    let known = columns.join(", ");
                    return Err(Error::Options(format!("'{ours}' is no column of {}: {known}", names.table)));
                }
                if !(is_name(theirs) || theirs.is_empty()) {
                    return wrong("a column", theirs);
                }
                if ours == "id" && theirs.is_empty() {
                    return Err(Error::Options(format!("{} needs its id", names.table)));
                }
            }
        }
        for query in [&users.query, &self.sessions.query, &self.settings.query] {
            if !query.is_empty() && !query.contains(":id") {
                return Err(Error::Options("a query asks for one row, by :id".to_owned()));
            }
        }
        Ok(())
    }
}

/// Anything can be quoted but nothing at all, and what no engine takes.
pub fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && !name.contains(['\0', '.'])
}

/// Leaves out the URL, which may hold a password.
impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions")
            .field("timeout", &self.timeout)
            .field("cache", &self.cache)
            .field("verified_for", &self.verified_for)
            .field("users", &self.users)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}
