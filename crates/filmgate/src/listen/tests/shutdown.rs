//! The way down, in its two stages.

use std::sync::Arc;

use tokio::sync::Notify;

use super::super::signals;
use super::*;

/// Waits until nobody accepts any more.
async fn refused(addr: SocketAddr) {
    let trying = async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANG, trying).await.expect("still accepting");
}

#[tokio::test]
async fn an_upload_under_way_is_finished_while_new_connections_are_refused() {
    let server = start(routes(), far());
    let mut idle = server.connect().await;
    idle.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut idle, "tls=false /").await;
    let mut upload = server.connect().await;
    let request = post_of("/take", 10) + "12345";
    upload.write_all(request.as_bytes()).await.unwrap();
    // Answered on a connection made later: the upload's head has been read by then.
    server.talk(GET_AND_CLOSE).await;

    server.stage.send(Stage::Draining).unwrap();
    refused(server.addr).await;
    assert_eq!(read_to_end(&mut idle).await.unwrap(), "", "an idle connection ends at once");

    upload.write_all(b"67890").await.unwrap();
    let answer = read_to_end(&mut upload).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("took 10"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let drained = server.ended().await;
    assert_eq!((drained.served, drained.refused, drained.cut), (3, 0, 0));
}

/// A server with one request inside that never ends by itself.
async fn busy(limits: ListenLimits) -> (Server, TcpStream) {
    let inside = Arc::new(Notify::new());
    let endless = {
        let inside = Arc::clone(&inside);
        move || async move {
            inside.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let server = start(Router::new().fallback(any(endless)), limits);
    let mut client = server.connect().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    inside.notified().await;
    (server, client)
}

#[tokio::test]
async fn the_second_signal_cuts() {
    let (server, mut client) = busy(far()).await;
    server.stage.send(Stage::Draining).unwrap();
    refused(server.addr).await;
    assert!(!server.task.is_finished(), "it did not wait for the request");
    server.stage.send(Stage::Cut).unwrap();
    assert_eq!(server.ended().await.cut, 1);
    assert_eq!(read_to_end(&mut client).await.unwrap_or_default(), "");
}

#[tokio::test]
async fn the_deadline_cuts() {
    let limits = ListenLimits { drain_deadline: Duration::from_millis(200), ..far() };
    let (server, _client) = busy(limits).await;
    server.stage.send(Stage::Draining).unwrap();
    assert_eq!(server.ended().await.cut, 1);
}

#[tokio::test]
async fn a_lost_sender_stops_nothing() {
    let mut server = start(routes(), far());
    server.stage = watch::channel(Stage::Running).0;
    let answer = server.talk(GET_AND_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!server.task.is_finished());
}

#[tokio::test]
async fn signals_move_the_stage() {
    use rustix::process::{Signal, getpid, kill_process};

    let mut stage = signals(Duration::ZERO).unwrap();
    assert_eq!(*stage.borrow(), Stage::Running);
    for (signal, want) in [(Signal::TERM, Stage::Draining), (Signal::INT, Stage::Cut)] {
        kill_process(getpid(), signal).unwrap();
        tokio::time::timeout(HANG, stage.changed()).await.expect("not heard").unwrap();
        assert_eq!(*stage.borrow(), want);
    }
}
