//! Photos that misbehave on request, so that tests can play a poison photo to the real program. Debug builds alone.

use std::time::Duration;

use memchr::memmem;

use super::complain;

/// Plays the fault that the photo names, if it names one.
pub(crate) fn play(photo: &[u8]) {
    let Some(at) = memmem::find(photo, b"FILMGATE-FAULT-") else { return };
    let fault = photo.get(at..).unwrap_or_default();
    let asks_for = |name: &[u8]| fault.get(b"FILMGATE-FAULT-".len()..).is_some_and(|rest| rest.starts_with(name));
    if asks_for(b"ABORT") {
        complain("a fault was asked for");
        std::process::abort();
    } else if asks_for(b"PANIC") {
        panic!("{}", String::from_utf8_lossy(photo));
    } else if asks_for(b"HANG") {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    } else if asks_for(b"ALLOCATE") {
        let mut hoard = Vec::new();
        loop {
            hoard.push(vec![1_u8; 1024 * 1024]);
        }
    } else if asks_for(b"OPEN") {
        refused("open a file", std::fs::File::open("/etc/passwd").map(drop));
    } else if asks_for(b"CONNECT") {
        refused("open a connection", std::net::TcpStream::connect("127.0.0.1:9").map(drop));
    } else if asks_for(b"SLOW") {
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Where seccomp does not end the process by itself: being denied ends it here. What was *not* denied lets the photo be
/// developed as any other, which the tests take for the failure it is.
fn refused<T>(what: &str, tried: std::io::Result<T>) {
    if tried.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
        complain(&format!("was not allowed to {what}"));
        std::process::abort();
    }
}
