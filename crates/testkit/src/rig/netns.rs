//! Machines of a network that is not there: namespaces of the kernel, each with its own address, around a hub.
//!
//! In the hub are the engines, the proxy and the rig itself; in each member a node. What is between two of them can be
//! cut, in silence or with a refusal, and healed. All of it goes with its handle, or by a signal.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::cleanup::{Undo, guarded};
use super::{Need, run};

/// What a rig needs that makes one.
pub const NEEDS: [Need; 3] = [Need::Root, Need::Program("ip", "iproute2"), Need::Program("iptables", "iptables")];

/// What a member meets that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing, for as long as it waits.
    Silence,
    /// Every connection is reset.
    Refusal,
}

/// A hub, and members around it.
#[derive(Debug)]
pub struct Network {
    // Members first: they go before what they hang on.
    members: Vec<Namespace>,
    hub: Namespace,
}

impl Network {
    /// So many members.
    pub fn new(members: u8) -> Result<Self> {
        ensure!(members < 200, "one octet holds no {members} members");
        let hub = Namespace::new("hub", address(1))?;
        ip(&["-n", &hub.name, "link", "add", "hub", "type", "bridge"])?;
        ip(&["-n", &hub.name, "addr", "add", &format!("{}/24", hub.address), "dev", "hub"])?;
        ip(&["-n", &hub.name, "link", "set", "hub", "up"])?;
        // Garage sends the head of an answer and waits for its acknowledgement before the body: each photo read over a
        // kept connection takes 44 ms, and 0.5 where acknowledgements are not held back. On every machine's routes.
        let to_itself = ["route", "replace", "table", "local", "local", &hub.address.to_string(), "dev", "hub"];
        ip(&[&["-n", &hub.name][..], &to_itself, &["quickack", "1"]].concat())?;
        let mut network = Self { members: Vec::new(), hub };
        for number in 1..=members {
            let member = Namespace::new(&number.to_string(), address(10 + number))?;
            let port = format!("port{number}");
            let of_hub = ["-n", &network.hub.name];
            let of_member = ["-n", &member.name];
            let pair = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &member.name];
            ip(&[&of_hub[..], &pair].concat())?;
            ip(&[&of_hub[..], &["link", "set", &port, "master", "hub", "up"]].concat())?;
            ip(&[&of_member[..], &["addr", "add", &format!("{}/24", member.address), "dev", "eth0"]].concat())?;
            ip(&[&of_member[..], &["link", "set", "eth0", "up"]].concat())?;
            ip(&[&of_member[..], &["route", "replace", "10.77.0.0/24", "dev", "eth0", "quickack", "1"]].concat())?;
            network.members.push(member);
        }
        Ok(network)
    }

    /// The first has the number 0.
    pub fn member(&self, number: usize) -> &Namespace {
        &self.members[number]
    }

    /// Where the hub's engines are to listen.
    pub fn hub(&self) -> IpAddr {
        self.hub.address
    }

    /// From now on this thread, and every thread and program that it starts, is in the hub.
    pub fn enter_hub(&self) -> Result<()> {
        let file = File::open(Path::new("/run/netns").join(&self.hub.name)).context("opening the hub")?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).context("entering the hub")
    }
}

fn address(last: u8) -> IpAddr {
    // Nobody else sees these addresses: the namespaces have no way out.
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, last))
}

fn ip(words: &[&str]) -> Result<()> {
    run("ip", words).map(drop)
}

/// One machine.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    address: IpAddr,
    undo: Option<Undo>,
}

impl Namespace {
    fn new(what: &str, address: IpAddr) -> Result<Self> {
        let name = format!("filmgate-{}-{what}", std::process::id());
        let (made, undo) = guarded(|| {
            ip(&["netns", "add", &name])?;
            let name = name.clone();
            Ok(((), move || remove(&name)))
        })?;
        let () = made;
        let namespace = Self { name, address, undo: Some(undo) };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// What stands before a command so that it runs in here.
    pub fn wrapper(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// From now on nothing of in here reaches this address, nor the other way.
    pub fn cut(&self, from: SocketAddr, how: Cut) -> Result<()> {
        self.rules("--append", from, how)
    }

    /// Undoes a cut.
    pub fn heal(&self, from: SocketAddr, how: Cut) -> Result<()> {
        self.rules("--delete", from, how)
    }

    fn rules(&self, change: &str, other: SocketAddr, how: Cut) -> Result<()> {
        let (address, port) = (other.ip().to_string(), other.port().to_string());
        let out = ["OUTPUT", "--protocol", "tcp", "--destination", &address, "--dport", &port];
        // By the network alone: a refusal's own reset comes from within.
        let back = ["INPUT", "--in-interface", "eth0", "--protocol", "tcp", "--source", &address, "--sport", &port];
        let verdict: &[&str] = match how {
            Cut::Silence => &["--jump", "DROP"],
            Cut::Refusal => &["--jump", "REJECT", "--reject-with", "tcp-reset"],
        };
        let here = ["netns", "exec", &self.name, "iptables", "--wait", change];
        ip(&[&here[..], &out, verdict].concat())?;
        // The answers to what was sent before.
        ip(&[&here[..], &back, &["--jump", "DROP"]].concat())
    }
}

fn remove(name: &str) {
    if let Err(error) = ip(&["netns", "delete", name]) {
        eprintln!("left behind: namespace {name}: {error:#}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
        drop(self.undo.take());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Asked from within a member: whether it reaches the address, and how long it took to know.
    fn reaches(member: &Namespace, address: SocketAddr) -> (bool, Duration) {
        let [ip, words @ ..] = member.wrapper();
        let probe = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
        let began = Instant::now();
        let status = Command::new(ip).args(words).args(["timeout", "1", "bash", "-c", &probe]).output().unwrap().status;
        (status.success(), began.elapsed())
    }

    #[test]
    fn members_reach_the_hub_until_they_are_cut_off() {
        if let Some(missing) = NEEDS.into_iter().find_map(Need::missing) {
            eprintln!("NOT RUN: it lacks {missing}");
            return;
        }
        // A thread of its own: who enters a namespace stays there.
        thread::spawn(|| {
            let network = Network::new(2).unwrap();
            network.enter_hub().unwrap();
            let listeners = [(); 2].map(|()| TcpListener::bind((network.hub(), 0)).unwrap());
            let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
            let (one, two) = (network.member(0), network.member(1));
            assert!(reaches(one, addresses[0]).0);
            assert!(TcpStream::connect(addresses[0]).is_ok());
            one.cut(addresses[0], Cut::Silence).unwrap();
            let (reached, elapsed) = reaches(one, addresses[0]);
            assert!(!reached && elapsed > Duration::from_millis(900), "{reached} {elapsed:?}");
            assert!(reaches(one, addresses[1]).0, "the other engine");
            assert!(reaches(two, addresses[0]).0, "the other member");
            one.heal(addresses[0], Cut::Silence).unwrap();
            assert!(reaches(one, addresses[0]).0);
            one.cut(addresses[0], Cut::Refusal).unwrap();
            let (reached, elapsed) = reaches(one, addresses[0]);
            assert!(!reached && elapsed < Duration::from_millis(900), "{reached} {elapsed:?}");
            one.heal(addresses[0], Cut::Refusal).unwrap();
            assert!(reaches(one, addresses[0]).0);
            let name = one.name.clone();
            drop(network);
            assert!(!Path::new("/run/netns").join(name).exists());
        })
        .join()
        .unwrap();
    }
}
