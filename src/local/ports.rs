//! Free ports of the loopback interface.

use std::net::TcpListener;

/// A port that nobody listens on just now.
///
/// Another program may take it before the server does; whoever starts a server
/// tries again with another port then. Ports from 32768 on are left out: the
/// kernel lends them to outgoing connections, so one of them could be gone
/// when a killed server is to come back on it.
pub(super) fn free() -> u16 {
    loop {
        let port = fastrand::u16(10_240..32_768);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
