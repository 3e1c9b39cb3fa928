//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): who the client behind a load balancer is. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Section 2.2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its CRLF (section 2.1).
const LINE: usize = 107;
/// The most octets that a header of version 2 may announce: addresses, and the few that its extensions need.
const MOST: usize = 1024;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Octets are missing yet.
    Partial,
    /// It is no header.
    Bad,
    /// A header of so many octets, and the client in it: none where the load balancer speaks for itself (a health check).
    Whole(usize, Option<SocketAddr>),
}

/// Reads the begin of a connection.
pub(super) fn read(begin: &[u8]) -> Header {
    let shown = |signature: &[u8]| begin.iter().zip(signature).all(|(byte, known)| byte == known);
    match begin.len() {
        0 => Header::Partial,
        length if shown(SIGNATURE) => {
            if length < 16 {
                Header::Partial
            } else {
                version_2(begin)
            }
        }
        _ if shown(b"PROXY ") => version_1(begin),
        _ => Header::Bad,
    }
}

fn version_1(begin: &[u8]) -> Header {
    let Some(end) = begin.iter().take(LINE).position(|byte| *byte == b'\n') else {
        return if begin.len() >= LINE { Header::Bad } else { Header::Partial };
    };
    let line = begin[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let Some(line) = line else { return Header::Bad };
    let mut words = line.split(' ').skip(1);
    match (words.next(), words.next(), words.nth(1)) {
        (Some("UNKNOWN"), ..) => Header::Whole(end + 1, None),
        (Some(family @ ("TCP4" | "TCP6")), Some(source), Some(port)) => {
            let address = source.parse::<IpAddr>().ok().filter(|address| address.is_ipv4() == (family == "TCP4"));
            match (address, port.parse()) {
                (Some(address), Ok(port)) => Header::Whole(end + 1, Some(SocketAddr::new(address, port))),
                _ => Header::Bad,
            }
        }
        _ => Header::Bad,
    }
}

fn version_2(begin: &[u8]) -> Header {
    let length = usize::from(u16::from_be_bytes([begin[14], begin[15]]));
    let (version, command, family) = (begin[12] >> 4, begin[12] & 15, begin[13]);
    if version != 2 || command > 1 || length > MOST {
        return Header::Bad;
    }
    let Some(body) = begin.get(16..16 + length) else { return Header::Partial };
    let port = |at: usize| body.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
    let address = |most: usize| body.get(..most);
    let client = match (command, family) {
        (1, 0x11) => address(4)
            .and_then(|octets| <[u8; 4]>::try_from(octets).ok())
            .map(|octets| IpAddr::from(Ipv4Addr::from(octets)))
            .zip(port(8)),
        (1, 0x21) => address(16)
            .and_then(|octets| <[u8; 16]>::try_from(octets).ok())
            .map(|octets| IpAddr::from(Ipv6Addr::from(octets)))
            .zip(port(32)),
        _ => return Header::Whole(16 + length, None),
    };
    client.map_or(Header::Bad, |(address, port)| Header::Whole(16 + length, Some(SocketAddr::new(address, port))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[0x20 | command, family], &length, body].concat()
    }

    fn all_prefixes_are_partial(header: &[u8]) {
        for end in 0..header.len() {
            assert_eq!(read(&header[..end]), Header::Partial, "{end} of {header:?}");
        }
    }

    #[test]
    fn both_versions_tell_the_client() {
        let four = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n";
        let six = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n";
        let four_2 = v2(1, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 25, 4, 0, 1, 9]);
        let mut addresses = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        addresses.extend([0; 16]);
        addresses.extend([0x9c, 0x40, 0, 25]);
        let six_2 = v2(1, 0x21, &addresses);
        let at_4 = "192.0.2.7:40000".parse().unwrap();
        let at_6 = "[2001:db8::7]:40000".parse().unwrap();
        for (header, client) in [(four.to_vec(), at_4), (six.to_vec(), at_6), (four_2, at_4), (six_2, at_6)] {
            assert_eq!(read(&header), Header::Whole(header.len(), Some(client)));
            let with_more = [header.as_slice(), b"EHLO x\r\n"].concat();
            assert_eq!(read(&with_more), Header::Whole(header.len(), Some(client)));
            all_prefixes_are_partial(&header);
        }
    }

    #[test]
    fn a_load_balancer_may_speak_for_itself() {
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Header::Whole(15, None));
        let local = v2(0, 0, &[]);
        assert_eq!(read(&local), Header::Whole(16, None));
    }

    #[test]
    fn what_is_no_header_is_bad() {
        let long = format!("PROXY TCP4 {}", "1".repeat(200));
        let huge = v2(1, 0x11, &[0; 2000]);
        let short = v2(1, 0x11, &[192, 0, 2, 7]);
        let mut version = v2(1, 0x11, &[0; 12]);
        version[12] = 0x31;
        for header in [
            b"EHLO mx.test\r\n".as_slice(),
            b"PROXY\r\n",
            b"PROXY TCP4 192.0.2.7\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.8 99999 25\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.8 1 25\n",
            long.as_bytes(),
            &huge,
            &short,
            &version,
        ] {
            assert_eq!(read(header), Header::Bad, "{}", String::from_utf8_lossy(header));
        }
    }

    proptest! {
        #[test]
        fn no_begin_upsets_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..64), signed in any::<bool>()) {
            let begin = if signed { [SIGNATURE.as_slice(), &bytes].concat() } else { bytes };
            let _ = read(&begin);
        }
    }
}
