//! One connection too many, and a port already taken.

use super::*;

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_back() {
    let server = start(routes(), ListenLimits { connections_max: 2, ..far() });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.write_all(GET.as_bytes()).await.unwrap();
        read_until(&mut client, "tls=false /").await;
        held.push(client);
    }
    let answer = server.talk(GET).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    assert!(answer.contains(r#"{"code":"too_many_connections","#), "{answer}");
    drop(held);
    let mut tries = 0;
    while !server.talk(GET_AND_CLOSE).await.starts_with("HTTP/1.1 200") {
        tries += 1;
        assert!(tries < 500, "a freed place is not given on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stage.send(Stage::Draining).unwrap();
    let drained = server.ended().await;
    assert!(drained.refused >= 1 && drained.served == 3 && drained.cut == 0, "{drained:?}");
}

#[tokio::test]
async fn refusing_thousands_hurts_nobody() {
    let server = start(routes(), ListenLimits { connections_max: 1, ..far() });
    let mut held = server.connect().await;
    held.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut held, "tls=false /").await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(server.connect().await);
    }
    // The one inside is served on.
    held.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut held, "tls=false /").await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = first.local_addr().unwrap();
    let error = bind(addr).expect_err("bound twice").to_string();
    assert!(error.starts_with(&format!("cannot listen on {addr}: port")), "{error}");
    assert!(error.contains("in use"), "{error}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    let error = bind("192.0.2.1:0".parse().unwrap()).expect_err("bound").to_string();
    assert!(error.contains("no address 192.0.2.1"), "{error}");
}
