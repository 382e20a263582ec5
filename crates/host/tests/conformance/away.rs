//! A database that is away or slow, and what is believed meanwhile.

use std::time::{Duration, Instant};

use host::{Error, Host, HostOptions};

use crate::support::{App, Engine, Keys};

/// The same database, reached through something that can be cut off.
struct Way {
    port: u16,
    open: tokio::sync::watch::Sender<Door>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// Connections are closed at once.
    Shut,
    /// They are taken and nothing comes.
    Silent,
}

impl Way {
    async fn to(app: &App) -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (head, rest) = app.url.split_once('@').unwrap();
        let (address, database) = rest.split_once('/').unwrap();
        let url = format!("{head}@127.0.0.1:{port}/{database}");
        let address = address.to_owned();
        let (open, door) = tokio::sync::watch::channel(Door::Open);
        tokio::spawn(async move {
            loop {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let (address, mut door) = (address.clone(), door.clone());
                tokio::spawn(async move {
                    if *door.borrow() == Door::Shut {
                        return;
                    }
                    let mut server = tokio::net::TcpStream::connect(address).await.unwrap();
                    loop {
                        let now = *door.borrow_and_update();
                        if now == Door::Shut {
                            return;
                        }
                        let through = async {
                            if now == Door::Silent {
                                std::future::pending::<()>().await;
                            }
                            tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                        };
                        tokio::select! {
                            () = through => return,
                            changed = door.changed() => if changed.is_err() { return },
                        }
                    }
                });
            }
        });
        (Self { port, open }, url)
    }

    fn set(&self, door: Door) {
        assert!(self.port > 0);
        self.open.send_replace(door);
    }
}

fn options(url: &str) -> HostOptions {
    HostOptions {
        timeout: Duration::from_millis(400),
        cache: Duration::from_millis(50),
        cache_absent: Duration::from_millis(50),
        ..HostOptions::new(url)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_verified_is_believed_while_it_is_away_and_nothing_else() {
    let app = App::new(Keys::Integer).await;
    if app.engine == Engine::Sqlite {
        return;
    }
    app.session(42, 1, None).await;
    app.session(43, 2, None).await;
    for away in [Door::Shut, Door::Silent] {
        let (way, url) = Way::to(&app).await;
        let host = Host::new(options(&url)).unwrap();
        assert!(host.session("42").await.unwrap().is_some());
        assert!(host.session("99").await.unwrap().is_none());
        assert!(host.user(1).await.unwrap().is_some());
        way.set(away);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        assert!(host.session("42").await.unwrap().is_some());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(host.user(1).await.unwrap().is_some());
        // Known now: nobody waits any more, for a second at least.
        let began = Instant::now();
        for _ in 0..100 {
            assert!(host.session("42").await.unwrap().is_some());
            assert!(matches!(host.session("43").await, Err(Error::Unavailable(_))), "never seen");
            assert!(
                matches!(host.session("99").await, Err(Error::Unavailable(_))),
                "that it is absent is not believed"
            );
            assert!(matches!(host.user(2).await, Err(Error::Unavailable(_))));
            assert!(matches!(host.links("42").await, Err(Error::Unavailable(_))));
            assert!(matches!(host.put_capture(&app.capture(42)).await, Err(Error::Unavailable(_))));
        }
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        assert!(host.away().is_some());
        way.set(Door::Open);
        tokio::time::timeout(Duration::from_secs(10), host.back()).await.unwrap();
        assert!(host.session("43").await.unwrap().is_some());
        assert!(host.put_capture(&app.capture(42)).await.is_ok());
        assert_eq!(host.away(), None);
        host.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn belief_ends() {
    let app = App::new(Keys::Integer).await;
    if app.engine == Engine::Sqlite {
        return;
    }
    app.session(42, 1, None).await;
    let (way, url) = Way::to(&app).await;
    let host = Host::new(HostOptions { verified_for: Duration::from_millis(600), ..options(&url) }).unwrap();
    assert!(host.session("42").await.unwrap().is_some());
    let verified = Instant::now();
    way.set(Door::Shut);
    tokio::time::sleep(Duration::from_millis(60)).await;
    while verified.elapsed() < Duration::from_millis(550) {
        let is_believed = host.session("42").await.is_ok();
        assert!(is_believed || verified.elapsed() > Duration::from_millis(550));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(matches!(host.session("42").await, Err(Error::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_for_all_who_want_to_know_the_same() {
    let app = App::new(Keys::Integer).await;
    app.session(42, 1, None).await;
    let host = Host::new(HostOptions { cache: Duration::from_secs(60), ..app.options() }).unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    host.register_metrics(&mut registry);
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move { host.session("42").await.unwrap().unwrap().user_id })
        })
        .collect();
    for asking in asking {
        assert_eq!(asking.await.unwrap(), 1);
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let count = |outcome: &str| {
        let line = format!("host_questions_total{{kind=\"session\",outcome=\"{outcome}\"}} ");
        text.lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |n| n.parse::<u64>().unwrap())
    };
    assert_eq!((count("answered"), count("cached")), (1, 199), "{text}");
}

#[tokio::test]
async fn an_answer_counts_for_so_long_and_no_longer() {
    let app = App::new(Keys::Integer).await;
    app.session(42, 1, None).await;
    let cache = Duration::from_millis(700);
    let host = Host::new(HostOptions { cache, ..app.options() }).unwrap();
    let asked = Instant::now();
    assert!(host.user(1).await.unwrap().is_some());
    app.execute("DELETE FROM assessment_sessions; DELETE FROM users WHERE id = 1").await;
    while host.user(1).await.unwrap().is_some() {
        assert!(asked.elapsed() < cache + Duration::from_millis(300), "believed for too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(asked.elapsed() >= cache);
}

#[tokio::test]
async fn a_place_where_there_is_no_database_is_away() {
    for url in ["postgres://u@127.0.0.1:1/x", "mysql://u@127.0.0.1:1/x", "sqlite:////nowhere/at/all.db"] {
        let host = Host::new(options(url)).unwrap();
        let error = host.session("42").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{url}: {error:?}");
        assert!(host.ping().await.is_err());
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_and_one_that_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    std::fs::write(&path, "no database ".repeat(1_000)).unwrap();
    let host = Host::new(options(&format!("sqlite:{}", path.display()))).unwrap();
    assert!(host.session("42").await.is_err());
    if crate::support::engine() != Engine::Sqlite {
        return;
    }
    let app = App::new(Keys::Integer).await;
    app.session(42, 1, None).await;
    let host = Host::new(options(&app.url)).unwrap();
    assert!(host.session("42").await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let path = app.url.strip_prefix("sqlite:").unwrap();
    let mut holder = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive);
    holder = holder.journal_mode(sqlx::sqlite::SqliteJournalMode::Delete);
    let mut link = sqlx::ConnectOptions::connect(&holder).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut link).await.unwrap();
    // Believed, because it was verified; and the app's writer goes on.
    assert!(host.session("42").await.unwrap().is_some());
    assert!(matches!(host.session("43").await, Err(Error::Unavailable(_))));
    sqlx::raw_sql("COMMIT").execute(&mut link).await.unwrap();
    sqlx::Connection::close(link).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), host.back()).await.unwrap();
    assert_eq!(host.session("43").await.unwrap(), None);
}
