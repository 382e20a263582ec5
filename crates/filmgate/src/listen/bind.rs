//! Opening the listening socket, with words an administrator can act on.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections the kernel may complete before we accept them: every camera of a house returns in
/// the same second after a restart. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address asked for.
    pub addr: SocketAddr,
    source: io::Error,
}

/// Listens on an address; port 0 takes a free one, which `local_addr` then tells.
pub fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    open(addr).map_err(|source| BindError { addr, source })
}

fn open(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without it a restart waits a minute for the last connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr;
        write!(f, "cannot listen on {addr}: ")?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "port {port} is in use; stop the program that has it (`ss -ltnp 'sport = :{port}'` \
                 names it) or choose another port",
                port = addr.port()
            ),
            io::ErrorKind::PermissionDenied => {
                write!(f, "no permission; a port below 1024 needs CAP_NET_BIND_SERVICE or socket activation")
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no address {}", addr.ip())
            }
            _ => write!(f, "{}", self.source),
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
