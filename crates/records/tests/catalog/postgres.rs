//! What a catalog on a server must do besides: several nodes at once, connections that are lost, answers that never come.
//!
//! For where `FILMGATE_TEST_POSTGRES_URL` says which server; elsewhere there is none to ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use records::{
    CatalogOptions, Effect, Ending, Finished, IdempotencyRecord, PostgresOptions, Recorded, Records, TaskKind,
    TaskState,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::support::{Catalog, at, capture, catalog, connect, terms};

/// A catalog on the server, and how to reach it; none where no server was given.
async fn server() -> Option<(Catalog, PostgresOptions)> {
    std::env::var_os("FILMGATE_TEST_POSTGRES_URL")?;
    let catalog = catalog().await;
    let options = catalog.server();
    Some((catalog, options))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_send_one_key_at_once_store_it_once() {
    let Some((catalog, _)) = server().await else { return };
    let session = catalog.new_session(1).await;
    for round in 0..20 {
        let mut sending = Vec::new();
        for node in 0..4 {
            let records = catalog.beside().await;
            let mut recording = catalog.recording(session.id, vec![capture(round)]).await;
            let answer = format!("node {node}");
            recording.idempotency =
                Some(IdempotencyRecord { user_id: 1, key: format!("key {round}"), digest: [1; 32], answer });
            sending.push(tokio::spawn(async move { records.record_captures(recording).await.unwrap() }));
        }
        let mut stored = 0;
        for sent in sending {
            stored += u32::from(sent.await.unwrap() == Recorded::Stored);
        }
        assert_eq!(stored, 1);
        assert_eq!(catalog.count_captures().await.unwrap(), u64::try_from(round).unwrap() + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_takes_nothing_afterwards_on_any_node() {
    let Some((catalog, _)) = server().await else { return };
    for _ in 0..20 {
        let session = catalog.new_session(1).await;
        let ender = catalog.beside().await;
        let mut uploads = Vec::new();
        for second in 0..8 {
            let (records, recording) =
                (catalog.records.clone(), catalog.recording(session.id, vec![capture(second)]).await);
            uploads.push(tokio::spawn(async move { records.record_captures(recording).await.is_ok() }));
        }
        ender.end_session(session.id, at(9)).await.unwrap();
        let recorded_at_end = ender.captures_of_session(session.id).await.unwrap().len();
        let mut stored = 0;
        for upload in uploads {
            stored += usize::from(upload.await.unwrap());
        }
        assert_eq!(stored, recorded_at_end, "one was recorded after the end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_claim_at_once_share_the_tasks() {
    let Some((catalog, _)) = server().await else { return };
    let mut tasks = catalog.upload(1, 200, 1).await;
    let mut claiming = Vec::new();
    for node in 0..4 {
        let records = catalog.beside().await;
        claiming.push(tokio::spawn(async move {
            let terms = records::ClaimTerms { worker: format!("serve/{node}"), ..terms(TaskKind::Process) };
            let (mut claimed, mut empty) = (Vec::new(), 0);
            while empty < 3 {
                let claims = records.claim_tasks(terms.clone(), 7, at(300)).await.unwrap().claims;
                empty += u32::from(claims.is_empty());
                claimed.extend(claims.into_iter().map(|claim| claim.task.id));
            }
            claimed
        }));
    }
    let mut claimed = Vec::new();
    for node in claiming {
        claimed.extend(node.await.unwrap());
    }
    claimed.sort();
    tasks.sort();
    assert_eq!(claimed, tasks, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_nodes_tasks_wake_this_one() {
    let Some((catalog, _)) = server().await else { return };
    let beside = catalog.beside().await;
    let mut changes = beside.task_changes(TaskKind::Process);
    // Until it listens nothing is heard; each recording tells anew.
    let heard = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            catalog.upload(1, 1, 1).await;
            if tokio::time::timeout(Duration::from_millis(200), changes.changed()).await.is_ok() {
                return;
            }
        }
    });
    heard.await.expect("heard of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ends_are_replaced_and_nothing_is_lost() {
    let Some((catalog, options)) = server().await else { return };
    let session = catalog.new_session(1).await;
    let database = options.url.rsplit_once('/').unwrap().1.to_owned();
    let killer = connect(&options.url).await;
    let killing = tokio::spawn(async move {
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = $1 AND pid <> pg_backend_pid()";
        let mut killed = 0;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            killed += killer.query_one(kill, &[&database]).await.unwrap().get::<_, i64>(0);
        }
        killed
    });
    let mut stored = 0_u64;
    let mut second = 0;
    while !killing.is_finished() {
        let recording = catalog.recording(session.id, vec![capture(second)]).await;
        assert_eq!(catalog.record_captures(recording).await.unwrap(), Recorded::Stored);
        (stored, second) = (stored + 1, second + 1);
    }
    assert!(killing.await.unwrap() > 0);
    assert_eq!(catalog.count_captures().await.unwrap(), stored);
}

/// Passes everything on to the server, but swallows what it says to the COMMITs that `swallow` counts, and hangs up.
async fn forgetful_proxy(server: String, swallow: Arc<AtomicU32>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, swallow) = (server.clone(), swallow.clone());
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut bytes = vec![0; 65_536];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    let is_commit = bytes[..read].windows(7).any(|word| word == b"COMMIT\0");
                    let is_swallowed = is_commit
                        && swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                    if is_swallowed {
                        back.abort();
                    }
                    to_server.write_all(&bytes[..read]).await.unwrap();
                    if is_swallowed {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_never_answered_is_told_for_what_it_was() {
    let Some((catalog, options)) = server().await else { return };
    let authority = options.url.split("://").nth(1).unwrap().split('/').next().unwrap();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let swallow = Arc::new(AtomicU32::new(0));
    let port = forgetful_proxy(address.to_owned(), swallow.clone()).await;
    let options = PostgresOptions { url: options.url.replace(address, &format!("127.0.0.1:{port}")), ..options };
    let node = Records::open_postgres(&options, &CatalogOptions::default()).await.unwrap();
    let session = catalog.new_session(1).await.id;

    // Recorded by the first run; the second finds it, and says so as if nothing had been.
    let new = capture(1);
    let mut recording = catalog.recording(session, vec![new.clone()]).await;
    recording.idempotency =
        Some(IdempotencyRecord { user_id: 1, key: "k".to_owned(), digest: [1; 32], answer: "first".to_owned() });
    swallow.store(1, Ordering::SeqCst);
    assert_eq!(node.record_captures(recording).await.unwrap(), Recorded::Stored);
    assert_eq!(swallow.load(Ordering::SeqCst), 0);
    assert_eq!(catalog.count_captures().await.unwrap(), 1);

    // A task's end and its effect.
    let claim = catalog.claim(TaskKind::Process, 1, at(10)).await.remove(0);
    swallow.store(1, Ordering::SeqCst);
    let ending = Ending::Success(Effect::Unsupported { reason: "none".to_owned() });
    assert_eq!(node.finish_task(claim.task.id, claim.fence, ending.clone(), at(11)).await.unwrap(), Finished::Done);
    assert_eq!(swallow.load(Ordering::SeqCst), 0);
    assert_eq!(catalog.task_now(new.task_id).await.state, TaskState::Success);
    assert_eq!(catalog.capture(new.id).await.unwrap().unwrap().processing.count, 1);
    // Without a doubt it is not ours any more.
    assert_eq!(node.finish_task(claim.task.id, claim.fence, ending, at(12)).await.unwrap(), Finished::Lost);

    // What cannot prove itself says that it does not know.
    swallow.store(1, Ordering::SeqCst);
    let outcome = node.create_user("ada".to_owned(), String::new(), records::Role::Admin, at(1)).await;
    assert!(matches!(outcome, Err(records::Error::OutcomeUnknown(_))), "{outcome:?}");
    let committed = async {
        while catalog.user_by_name("ADA".to_owned()).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), committed).await.expect("it held");
}

#[tokio::test]
async fn a_server_that_is_away_is_told_in_time_and_names_no_password() {
    let Some((_catalog, options)) = server().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("postgres://u:secretword@{}/d", listener.local_addr().unwrap());
    drop(listener);
    assert!(!format!("{options:?}").contains("postgres://"));
    let options = PostgresOptions { url: nobody, unavailable_after: Duration::from_millis(300), ..options };
    assert!(!options.place().contains("secretword"));
    let error = Records::open_postgres(&options, &CatalogOptions::default()).await.err().unwrap();
    assert!(matches!(error, records::Error::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("secretword"), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_used_where_it_says_so_and_refused_elsewhere() {
    let Some((catalog, options)) = server().await else { return };
    let outside = connect(&options.url).await;
    let add = |compatible_from: i64| {
        format!(
            "DELETE FROM filmgate.schema_versions WHERE version = 1000;
             INSERT INTO filmgate.schema_versions VALUES (1000, {compatible_from}, 'a later one', 0)"
        )
    };
    outside.batch_execute(&add(2)).await.unwrap();
    let beside = catalog.beside().await;
    beside.register_session(Uuid::now_v7(), 1, records::SettingsChoice::Default, at(1)).await.unwrap();
    outside.batch_execute(&add(999)).await.unwrap();
    let error = Records::open_postgres(&options, &CatalogOptions::default()).await.err().unwrap();
    assert!(matches!(error, records::Error::NewerSchema { found: 1000, .. }), "{error}");
}

#[tokio::test]
async fn another_programs_schema_is_left_alone() {
    let Some((_catalog, options)) = server().await else { return };
    let outside = connect(&options.url).await;
    outside
        .batch_execute("DROP SCHEMA filmgate CASCADE; CREATE SCHEMA filmgate; CREATE TABLE filmgate.users (id int)")
        .await
        .unwrap();
    let error = Records::open_postgres(&options, &CatalogOptions::default()).await.err().unwrap();
    assert!(matches!(error, records::Error::NotACatalog(_)), "{error}");
    let tables: i64 =
        outside.query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'filmgate'", &[]).await.unwrap().get(0);
    assert_eq!(tables, 1);
}
