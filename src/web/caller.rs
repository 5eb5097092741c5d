//! Who asks, as far as the network tells: the address that a limit is kept for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The address of whoever asks. Behind a proxy, whose own address is a private
/// one, it is what the proxy put last into X-Forwarded-For: Heroku's router adds
/// it there, whatever the client wrote before (Dev Center, "HTTP Routing"). A
/// client that comes straight from outside is not believed.
pub(super) fn address(Peer(peer): Peer, headers: &HeaderMap) -> IpAddr {
    let peer = peer.ip().to_canonical();
    let address = if is_inside(peer) {
        forwarded(headers).unwrap_or(peer)
    } else {
        peer
    };
    match address {
        // One customer has a whole network of them.
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let newest = headers.get_all("x-forwarded-for").into_iter().next_back()?;
    let last = newest.to_str().ok()?.rsplit(',').next()?;
    Some(last.trim().parse::<IpAddr>().ok()?.to_canonical())
}

fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_is_believed_and_only_what_it_added_itself() {
        for (peer, forwarded, expected) in [
            ("203.0.113.7:1", &[][..], "203.0.113.7"),
            ("203.0.113.7:1", &["198.51.100.1"], "203.0.113.7"),
            ("10.1.2.3:1", &["198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3:1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3:1", &["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3:1", &["1.2.3.4, nonsense"], "10.1.2.3"),
            ("127.0.0.1:1", &[], "127.0.0.1"),
            (
                "[::ffff:10.1.2.3]:1",
                &["2001:db8:1:2:3:4:5:6"],
                "2001:db8:1:2::",
            ),
            ("[2001:db8:1:2:ffff::1]:1", &["1.2.3.4"], "2001:db8:1:2::"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }

            let address = address(Peer(peer.parse().unwrap()), &headers);

            assert_eq!(address.to_string(), expected, "{peer} {forwarded:?}");
        }
    }
}
