//! Names and queries of the configuration's: any name works, none is more than a name.

use host::{Error, Host};

use crate::support::{App, Engine, Keys};

#[tokio::test]
async fn names_with_spaces_capitals_and_quotes_are_names() {
    let app = App::empty(Keys::Integer).await;
    let quote = |name: &str| match app.engine {
        Engine::MariaDb => format!("`{}`", name.replace('`', "``")),
        _ => format!("\"{}\"", name.replace('"', "\"\"")),
    };
    for (at, name) in ["Web Users", "order", "it's", "a\"b", "x; DROP TABLE keep; --", "ü"].into_iter().enumerate() {
        let (table, id) = (quote(name), quote(&format!("{name} id")));
        app.execute(&format!("CREATE TABLE {table} ({id} INTEGER PRIMARY KEY); INSERT INTO {table} VALUES ({at})"))
            .await;
        let mut options = app.options();
        name.clone_into(&mut options.users.table);
        options.users.id = format!("{name} id");
        let host = Host::new(options).unwrap();
        assert!(host.user(i64::try_from(at).unwrap()).await.unwrap().is_some(), "{name}");
        assert!(host.user(77).await.unwrap().is_none(), "{name}");
    }
}

#[tokio::test]
async fn queries_take_the_place_of_tables() {
    let app = App::new(Keys::Integer).await;
    app.settings(7, "INTERVAL", "2").await;
    app.session(42, 2, Some(7)).await;
    app.execute("CREATE TABLE staff (person INTEGER); INSERT INTO staff VALUES (2)").await;
    let cast = if app.engine == Engine::MariaDb { "SIGNED" } else { "integer" };
    let mut options = app.options();
    "SELECT u.id, u.username, u.is_active, EXISTS (SELECT 1 FROM staff s WHERE s.person = :id) AS is_admin
     FROM users u WHERE u.id = :id;"
        .clone_into(&mut options.users.query);
    options.sessions.query =
        format!("SELECT id, user_id, camera_settings_id FROM assessment_sessions WHERE id = CAST(:id AS {cast})");
    options.settings.query = format!(
        "SELECT id, setting_name, recording_mode, interval_seconds FROM camera_settings WHERE id = CAST(:id AS {cast})"
    );
    let host = Host::new(options).unwrap();
    let user = host.user(2).await.unwrap().unwrap();
    assert_eq!((user.username.as_str(), user.is_active, user.is_admin), ("bob", true, true));
    assert!(!host.user(1).await.unwrap().unwrap().is_admin);
    assert_eq!(host.user(9).await.unwrap(), None);
    let session = host.session("42").await.unwrap().unwrap();
    assert_eq!(session.user_id, 2);
    let settings = session.settings.as_ref().unwrap();
    assert_eq!((settings.interval_seconds, settings.is_active), (Some(2), true));
    assert_eq!(host.session("43").await.unwrap(), None);
    assert_eq!(host.session("no number").await.unwrap(), None);
}

#[tokio::test]
async fn a_query_that_does_not_fit_is_told_of() {
    let app = App::new(Keys::Integer).await;
    app.session(42, 2, None).await;
    for query in
        ["SELECT user_id FROM assessment_sessions WHERE id = :id", "SELECT nonsense :id", "DROP TABLE users -- :id"]
    {
        let mut options = app.options();
        query.clone_into(&mut options.sessions.query);
        let error = Host::new(options).unwrap().session("42").await.unwrap_err();
        assert!(matches!(error, Error::Schema(_)), "{query}: {error:?}");
    }
    assert!(app.host().user(1).await.unwrap().is_some());
}

#[tokio::test]
async fn columns_may_be_called_otherwise_or_be_missing() {
    let app = App::new(Keys::Integer).await;
    app.settings(7, "INTERVAL", "2").await;
    app.session(42, 2, Some(7)).await;
    app.execute("ALTER TABLE camera_settings RENAME COLUMN setting_name TO label").await;
    app.execute("ALTER TABLE camera_settings DROP COLUMN is_default").await;
    app.execute("ALTER TABLE camera_captures RENAME COLUMN filename TO file").await;
    app.execute("ALTER TABLE camera_captures DROP COLUMN camera_settings_snapshot").await;
    assert!(matches!(app.host().session("42").await, Err(Error::Schema(_))));
    let renamed = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let mut options = app.options();
    options.settings.renamed = renamed(&[("setting_name", "label"), ("is_default", "")]);
    options.captures.renamed = renamed(&[("filename", "file"), ("camera_settings_snapshot", "")]);
    let host = Host::new(options).unwrap();
    assert_eq!(host.session("42").await.unwrap().unwrap().settings.as_ref().unwrap().setting_name, "study 7");
    host.put_capture(&app.capture(42)).await.unwrap();
    assert_eq!(app.count("file LIKE '%.jpg'").await, 1);
}
