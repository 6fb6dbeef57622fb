//! Connections that send at once what they are given.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (launchbadge/sqlx#4335; mended there, not yet released) and offers no way to its
//! sockets. Whatever it writes in two small pieces, as the end of every COPY is, then waits for the 40 ms after which the
//! peer acknowledges the first (RFC 1122 §4.2.3.2). So the sockets are found among those of the process: the option is
//! harmless on any other that happens to be one to the same port. This file goes with the next sqlx.

use std::os::fd::{BorrowedFd, RawFd};

/// Sets `TCP_NODELAY` on the sockets of this process that are connected to `port`. One that can't be found or changed is
/// slower, and works.
pub fn send_at_once(port: u16) {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    for fd in open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok()) {
        #[allow(unsafe_code, reason = "sqlx does not lend its sockets")]
        // SAFETY: the descriptor was open a moment ago. If another thread has closed it meanwhile, the calls below fail, or
        // set this one option on what was opened in its place; nothing is read, written or closed.
        let socket = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = socket2::SockRef::from(&socket);
        let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
        if peer.is_some_and(|peer| peer.port() == port) {
            let _ = socket.set_tcp_nodelay(true);
        }
    }
}
