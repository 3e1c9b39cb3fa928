//! A name server of a few lines: one answer for every name, over UDP on loopback.

use std::net::SocketAddr;

use tokio::{net::UdpSocket, task::JoinHandle};

use crate::script::Names;

/// A name server that ends when it is dropped.
pub struct NameServer {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    pub async fn start(names: Names) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                if let Some(answer) = answer(&query[..length], &names) {
                    socket.send_to(&answer, from).await.ok();
                }
            }
        });
        Self { address, task }
    }
}

/// An answer (RFC 1035 section 4.1) to a query of one question.
fn answer(query: &[u8], names: &Names) -> Option<Vec<u8>> {
    let Names::Answer { rcode, a, aaaa } = names else { return None };
    let end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 5;
    let question = query.get(12..end)?;
    let records: Vec<Vec<u8>> = match question[question.len() - 3] {
        1 => a.iter().map(|address| address.octets().to_vec()).collect(),
        28 => aaaa.iter().map(|address| address.octets().to_vec()).collect(),
        _ => Vec::new(),
    };
    let mut out = query[..2].to_vec();
    // A response, recursion desired and available.
    out.extend([0x81, 0x80 | rcode, 0, 1, 0, u8::try_from(records.len()).ok()?, 0, 0, 0, 0]);
    out.extend(question);
    for record in records {
        // The name of the question, its type and class, ten seconds.
        out.extend([0xc0, 12, 0, question[question.len() - 3], 0, 1, 0, 0, 0, 10, 0, u8::try_from(record.len()).ok()?]);
        out.extend(record);
    }
    Some(out)
}
