//! A real nginx in front of several nodes, as `deploy/nginx.conf` has it, whose nodes can be changed while it serves.
//!
//! nginx without its paid modules asks no node how it is. Who does, and calls [`Nginx::direct_to`] with those that are
//! ready, is what a load balancer is.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::cleanup::Folder;
use super::engine::{Engine, LOOPBACK, START_LIMIT, free_port};
use super::{Need, program};
use crate::http::Request;
use crate::process;

/// What a rig needs that starts one.
pub const NEED: Need = Need::Program("nginx", "nginx");
/// How long workers with an old configuration may take to be replaced.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);

/// A running nginx. Dropped, it is killed.
#[derive(Debug)]
pub struct Nginx {
    engine: Engine,
    address: SocketAddr,
    reloads: u64,
    home: Folder,
}

impl Nginx {
    pub fn start(nodes: &[SocketAddr]) -> Result<Self> {
        Self::start_on(LOOPBACK, nodes)
    }

    pub fn start_on(address: IpAddr, nodes: &[SocketAddr]) -> Result<Self> {
        let home = Folder::new()?;
        let address = SocketAddr::new(address, free_port(address)?);
        write_configuration(&home, address, nodes, 0)?;
        let mut command = Command::new(program("nginx").context("no nginx")?);
        command.arg("-p").arg(home.path()).arg("-c").arg(home.path().join("nginx.conf"));
        let engine = Engine::start("nginx", &mut command, &home.path().join("nginx.log"))?;
        let mut nginx = Self { engine, address, reloads: 0, home };
        nginx.wait(START_LIMIT)?;
        Ok(nginx)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends requests to these nodes from now on. Those under way come to their end where they are.
    pub fn direct_to(&mut self, nodes: &[SocketAddr]) -> Result<()> {
        self.reloads += 1;
        write_configuration(&self.home, self.address, nodes, self.reloads)?;
        self.engine.signal(Signal::HUP);
        self.wait(RELOAD_LIMIT)
    }

    /// What it says of its nodes.
    pub fn log_tail(&self, lines: usize) -> String {
        self.engine.log_tail(lines)
    }

    /// Until every new connection is taken by the worker with the newest configuration.
    fn wait(&mut self, limit: Duration) -> Result<()> {
        let (address, want, master) = (self.address, self.reloads.to_string(), self.engine.pid());
        let request = Request::get(GENERATION).header("Connection", "close");
        let is_new = || request.send(address).is_ok_and(|answer| answer.text() == want);
        // Those before it take connections until they say that they are leaving.
        self.engine.wait_until(limit, || is_new() && taking_workers(master) == 1 && is_new())
    }
}

fn taking_workers(master: u32) -> usize {
    let is_taking = |pid: &u32| {
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let title = String::from_utf8_lossy(&title);
        title.contains("worker process") && !title.contains("shutting down")
    };
    process::tree(master).iter().skip(1).filter(|pid| is_taking(pid)).count()
}

/// Answers how often the configuration was changed.
const GENERATION: &str = "/rig/generation";

fn write_configuration(home: &Folder, address: SocketAddr, nodes: &[SocketAddr], generation: u64) -> Result<()> {
    ensure!(!nodes.is_empty(), "nginx takes no upstream without a server");
    let mut servers = String::new();
    for node in nodes {
        writeln!(servers, "    server {node} max_fails=3 fail_timeout=5s;")?;
    }
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let folder = home.path().display();
    let text = format!(
        "{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream filmgate {{
    zone filmgate 64k;
    least_conn;
{servers}    keepalive 64;
    keepalive_timeout 20s;
  }}
  server {{
    listen {address};
    client_max_body_size 256m;
    location = {GENERATION} {{ return 200 {generation}; }}
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-Id $request_id;
    proxy_set_header X-Forwarded-Host \"\";
    proxy_connect_timeout 2s;
    proxy_read_timeout 60s;
    proxy_next_upstream_tries 2;
    proxy_next_upstream_timeout 10s;
    location /assessment/camera/upload {{
      proxy_pass http://filmgate;
      proxy_request_buffering off;
      proxy_next_upstream error timeout;
    }}
    location / {{
      proxy_pass http://filmgate;
      proxy_next_upstream error timeout http_502 http_503 http_504;
    }}
  }}
}}
"
    );
    fs::write(home.path().join("nginx.conf"), text).context("writing nginx.conf")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answering(name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", name.len());
                stream.write_all([head.as_bytes(), name.as_bytes()].concat().as_slice()).unwrap();
            }
        });
        address
    }

    #[test]
    fn requests_go_where_they_are_directed() {
        if let Some(missing) = NEED.missing() {
            eprintln!("NOT RUN: it lacks {missing}");
            return;
        }
        let (one, two) = (answering("one"), answering("two"));
        let mut nginx = Nginx::start(&[one]).unwrap();
        let ask = |nginx: &Nginx| Request::get("/").send(nginx.address()).unwrap().text();
        assert_eq!(ask(&nginx), "one");
        nginx.direct_to(&[two]).unwrap();
        assert_eq!(ask(&nginx), "two");
    }
}
