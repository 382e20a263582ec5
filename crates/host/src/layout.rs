//! How the app's tables really are: which columns there are, and of what kind.
//!
//! Asked of the engine itself, once, and again after a statement did not fit. What a key is decides how it is looked up:
//! a number by its index as a number, a UUID however it is written.

use uuid::Uuid;

use crate::Error;
use crate::engine::{Dialect, Link, Sql, Texts, Value};

/// What a column holds, as far as that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    /// The engine's own type of UUIDs.
    Uuid,
    Text,
    /// Bytes; as a key: the sixteen of a UUID.
    Binary,
    Bool,
    Bit,
    Json,
    Time,
    /// With the zone.
    TimeZoned,
    Number,
    Other,
}

#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, dead_code)] // as the engine says it of each
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// As a person would write it.
    pub(crate) declared: String,
    /// PostgreSQL's word for a cast, of no length: with one it would cut off in silence.
    pub(crate) cast: String,
    pub(crate) not_null: bool,
    pub(crate) has_default: bool,
    pub(crate) is_primary: bool,
    pub(crate) is_unique: bool,
    /// An index begins with it.
    pub(crate) is_indexed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// As configured.
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) columns: Vec<Column>,
}

const POSTGRES: &str = "
    SELECT a.attname::text, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), NULL), t.typtype::text,
           format_type(a.atttypid, a.atttypmod), a.attnotnull::int::text,
           (a.atthasdef OR a.attidentity <> '')::int::text,
           EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary
                    AND i.indnatts = 1 AND i.indkey[0] = a.attnum)::int::text,
           EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indpred IS NULL
                    AND i.indnatts = 1 AND i.indkey[0] = a.attnum)::int::text,
           EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indpred IS NULL
                    AND i.indkey[0] = a.attnum)::int::text,
           format_type(a.atttypid, -1)
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = to_regclass(";
const POSTGRES_END: &str = ") AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const MYSQL: &str = "
    SELECT CAST(c.column_name AS CHAR), CAST(c.data_type AS CHAR), '', CAST(c.column_type AS CHAR),
           IF(c.is_nullable = 'NO', '1', '0'),
           IF(c.column_default IS NOT NULL OR c.extra LIKE '%auto_increment%' OR c.extra LIKE '%GENERATED%', '1', '0'),
           IF(c.column_key = 'PRI', '1', '0'), IF(c.column_key IN ('PRI', 'UNI'), '1', '0'),
           IF(c.column_key <> '', '1', '0'), ''
      FROM information_schema.columns c WHERE c.table_schema = ";
const MYSQL_END: &str = " ORDER BY c.ordinal_position";

const SQLITE: &str = "WITH asked (t) AS (SELECT ";
const SQLITE_END: &str = ")
    SELECT c.name, lower(c.type), '', c.type, CAST(c.\"notnull\" AS TEXT),
           CASE WHEN c.dflt_value IS NOT NULL OR c.pk = 1 AND lower(c.type) = 'integer' THEN '1' ELSE '0' END,
           CAST(c.pk = 1 AS TEXT),
           CAST(c.pk = 1 OR EXISTS (SELECT 1 FROM pragma_index_list((SELECT t FROM asked)) l WHERE l.\"unique\" = 1 AND l.partial = 0
                AND (SELECT count(*) FROM pragma_index_info(l.name)) = 1
                AND (SELECT i.name FROM pragma_index_info(l.name) i WHERE i.seqno = 0) = c.name) AS TEXT),
           CAST(c.pk = 1 OR EXISTS (SELECT 1 FROM pragma_index_list((SELECT t FROM asked)) l WHERE l.partial = 0
                AND (SELECT i.name FROM pragma_index_info(l.name) i WHERE i.seqno = 0) = c.name) AS TEXT), ''
      FROM pragma_table_info((SELECT t FROM asked)) c";

/// The columns of a table; none where there is no such table, or none that this user may know of.
pub(crate) async fn load(link: &mut Link, dialect: Dialect, table: &str) -> Result<Table, Error> {
    let mut sql = Sql::new(dialect);
    let (schema, name) = table.split_once('.').map_or((None, table), |(schema, name)| (Some(schema), name));
    match dialect {
        Dialect::Postgres => {
            sql.push(POSTGRES).bind(Value::Text(dialect.quote_table(table))).push(POSTGRES_END);
        }
        Dialect::MySql => {
            sql.push(MYSQL);
            match schema {
                Some(schema) => sql.bind(Value::Text(schema.to_owned())),
                None => sql.push("DATABASE()"),
            };
            sql.push(" AND c.table_name = ").bind(Value::Text(name.to_owned())).push(MYSQL_END);
        }
        Dialect::Sqlite => {
            sql.push(SQLITE).bind(Value::Text(name.to_owned())).push(SQLITE_END);
        }
    }
    let rows = link.rows(sql).await?;
    if rows.is_empty() {
        return Err(Error::Schema(format!("there is no table {table}, or none that this user may see")));
    }
    let columns = rows.into_iter().map(|row| column(dialect, row)).collect();
    Ok(Table { name: table.to_owned(), dialect, columns })
}

fn column(dialect: Dialect, row: Texts) -> Column {
    let mut fields = row.into_iter().map(Option::unwrap_or_default);
    let mut next = || fields.next().unwrap_or_default();
    let (name, base, class, declared) = (next(), next(), next(), next());
    let mut flag = || next() == "1";
    let (not_null, has_default, is_primary, is_unique, is_indexed) = (flag(), flag(), flag(), flag(), flag());
    let cast = next();
    let kind = match dialect {
        Dialect::Postgres if class == "e" => Kind::Other,
        Dialect::Postgres => postgres_kind(&base),
        Dialect::MySql => mysql_kind(&base, &declared),
        Dialect::Sqlite => sqlite_kind(&base),
    };
    Column { name, kind, declared, cast, not_null, has_default, is_primary, is_unique, is_indexed }
}

fn postgres_kind(base: &str) -> Kind {
    match base {
        "smallint" | "integer" | "bigint" => Kind::Integer,
        "uuid" => Kind::Uuid,
        "text" | "character varying" | "character" | "citext" => Kind::Text,
        "bytea" => Kind::Binary,
        "boolean" => Kind::Bool,
        "json" | "jsonb" => Kind::Json,
        "timestamp without time zone" => Kind::Time,
        "timestamp with time zone" => Kind::TimeZoned,
        "numeric" | "real" | "double precision" => Kind::Number,
        _ => Kind::Other,
    }
}

fn mysql_kind(base: &str, declared: &str) -> Kind {
    match base.to_ascii_lowercase().as_str() {
        "tinyint" if declared.eq_ignore_ascii_case("tinyint(1)") => Kind::Bool,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Kind::Integer,
        "uuid" => Kind::Uuid,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Kind::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Binary,
        "bit" => Kind::Bit,
        "json" => Kind::Json,
        "datetime" | "timestamp" => Kind::Time,
        "decimal" | "float" | "double" => Kind::Number,
        _ => Kind::Other,
    }
}

/// SQLite keeps whatever it gets; what the app means by the type is in its name.
fn sqlite_kind(declared: &str) -> Kind {
    let has = |word: &str| declared.contains(word);
    if has("int") {
        Kind::Integer
    } else if has("bool") {
        Kind::Bool
    } else if has("json") {
        Kind::Json
    } else if has("binary") || has("blob") {
        Kind::Binary
    } else if has("date") || has("time") {
        Kind::Time
    } else if has("char") || has("clob") || has("text") || has("uuid") || declared.is_empty() {
        Kind::Text
    } else {
        Kind::Number
    }
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Result<&Column, Error> {
        self.find(name).ok_or_else(|| Error::Schema(format!("the table {} has no column {name}", self.name)))
    }

    /// As the engine finds it: names are told apart by case on PostgreSQL alone.
    pub(crate) fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| match self.dialect {
            Dialect::Postgres => column.name == name,
            Dialect::MySql | Dialect::Sqlite => column.name.eq_ignore_ascii_case(name),
        })
    }

    pub(crate) fn quoted(&self) -> String {
        self.dialect.quote_table(&self.name)
    }

    /// The column as text, of the table that is called `alias`.
    pub(crate) fn text(&self, column: &Column, alias: &str) -> String {
        let plain = format!("{alias}.{}", self.dialect.quote(&column.name));
        match (self.dialect, column.kind) {
            (Dialect::Postgres, Kind::Binary) => format!("encode({plain}, 'hex')"),
            (Dialect::MySql, Kind::Binary) => format!("lower(hex({plain}))"),
            // There the hex of nothing is an empty text.
            (Dialect::Sqlite, Kind::Binary) => {
                format!("CASE WHEN {plain} IS NULL THEN NULL ELSE lower(hex({plain})) END")
            }
            (Dialect::MySql, Kind::Bit) => self.dialect.text(&format!("{plain} + 0")),
            _ => self.dialect.text(&plain),
        }
    }
}

impl Column {
    /// What to look for so that a row of this key is found; nothing where no row can have it.
    pub(crate) fn key_values(&self, key: &str) -> Vec<Value> {
        let text = |text: &str| Value::Text(text.to_owned());
        let uuid = Uuid::try_parse(key).ok();
        match self.kind {
            Kind::Integer => match key.parse::<i64>() {
                Ok(number) if number.to_string() == key => vec![Value::Int(number)],
                _ => Vec::new(),
            },
            Kind::Uuid => uuid.map(|uuid| text(&uuid.hyphenated().to_string())).into_iter().collect(),
            Kind::Binary => uuid.map(|uuid| Value::Bytes(uuid.as_bytes().to_vec())).into_iter().collect(),
            _ if key.is_empty() || key.len() > 255 || key.contains('\0') => Vec::new(),
            _ => match uuid {
                // SQLAlchemy's Uuid is 32 digits where the engine has no type for it.
                Some(uuid) => {
                    let mut forms = vec![text(&uuid.hyphenated().to_string()), text(&uuid.simple().to_string())];
                    if !forms.contains(&text(key)) {
                        forms.push(text(key));
                    }
                    forms
                }
                None => vec![text(key)],
            },
        }
    }

    /// The one form in which this column writes a key, the likeliest first.
    pub(crate) fn stored_forms(&self, key: &str) -> Vec<Value> {
        let mut values = self.key_values(key);
        // SQLAlchemy's Uuid where the engine has none: 32 digits in a column of just that length.
        if self.kind == Kind::Text && self.declared.contains("(32)") && values.len() > 1 {
            values.swap(0, 1);
        }
        values
    }

    /// `column IN (…)` for these values, by the index that the column has.
    pub(crate) fn is_one_of(&self, sql: &mut Sql, dialect: Dialect, alias: &str, values: Vec<Value>) {
        sql.push(alias).push(".").push(&dialect.quote(&self.name)).push(" IN (");
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                sql.push(", ");
            }
            sql.bind_as(value, &self.cast);
        }
        sql.push(")");
    }
}

/// A key as it is named outside: a UUID in its usual form however the column writes it, anything else as it is.
pub(crate) fn canonical(key: &str) -> String {
    Uuid::try_parse(key).map_or_else(|_| key.to_owned(), |uuid| uuid.hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_values(kind: Kind, key: &str) -> usize {
        let column = Column {
            name: "id".to_owned(),
            kind,
            declared: String::new(),
            cast: String::new(),
            not_null: true,
            has_default: false,
            is_primary: true,
            is_unique: true,
            is_indexed: true,
        };
        column.key_values(key).len()
    }

    #[test]
    fn a_key_that_no_row_can_have_is_not_asked_for() {
        let uuid = "5b1f0c9e-1d0e-4f0a-8a55-6f1c1d2e3f40";
        for (kind, key, forms) in [
            (Kind::Integer, "42", 1),
            (Kind::Integer, "-1", 1),
            (Kind::Integer, "042", 0),
            (Kind::Integer, "4 2", 0),
            (Kind::Integer, "1e3", 0),
            (Kind::Integer, "99999999999999999999", 0),
            (Kind::Integer, "1 OR 1=1", 0),
            (Kind::Uuid, uuid, 1),
            (Kind::Uuid, "42", 0),
            (Kind::Binary, uuid, 1),
            (Kind::Text, uuid, 2),
            (Kind::Text, "5B1F0C9E-1D0E-4F0A-8A55-6F1C1D2E3F40", 3),
            (Kind::Text, "course-7", 1),
            (Kind::Text, "a\0b", 0),
            (Kind::Text, "", 0),
        ] {
            assert_eq!(key_values(kind, key), forms, "{kind:?} {key:?}");
        }
    }
}
