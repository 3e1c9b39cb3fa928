//! A TCP proxy that reads along in SMTP, holds a conversation at a named point, and says when it is there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
};

/// Where a conversation can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The client's command is here and the server has not seen it.
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The final dot is here and the server has not seen it.
    Dot,
    /// The server has taken the mail, and the client has not heard of it.
    Taken,
}

#[derive(Default)]
struct State {
    refuse: AtomicBool,
    connections: AtomicUsize,
    refused: AtomicUsize,
    hold: std::sync::Mutex<Option<Point>>,
    adds: std::sync::Mutex<String>,
    reached: Notify,
}

/// A proxy in front of one port of loopback.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
    release: watch::Sender<bool>,
}

impl Proxy {
    /// In front of `server`.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (release, released) = watch::channel(false);
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.refuse.load(Ordering::SeqCst) {
                    shared.refused.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let in_mail = Arc::new(AtomicBool::new(false));
                let after_dot = Arc::new(AtomicBool::new(false));
                tokio::spawn(upwards(
                    from_client,
                    to_server,
                    Arc::clone(&shared),
                    released.clone(),
                    Arc::clone(&in_mail),
                    Arc::clone(&after_dot),
                ));
                tokio::spawn(downwards(from_server, to_client, Arc::clone(&shared), released.clone(), in_mail, after_dot));
            }
        });
        Self { port, state, release }
    }

    /// Closes new connections at once, or not any more.
    pub fn refuse(&self, refuse: bool) {
        self.state.refuse.store(refuse, Ordering::SeqCst);
    }

    /// How many connections it has carried.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many it has closed at once.
    pub fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// Holds the next conversation that comes to this point.
    pub fn hold(&self, point: Point) {
        *self.state.hold.lock().unwrap() = Some(point);
        self.release.send_replace(false);
    }

    /// Puts a header above those of each mail from now on, as a receiving server does.
    pub fn adds(&self, header: &str) {
        header.clone_into(&mut self.state.adds.lock().unwrap());
    }

    /// Waits until a conversation is held.
    pub async fn reached(&self) {
        tokio::time::timeout(std::time::Duration::from_secs(30), self.state.reached.notified())
            .await
            .expect("the point was never reached");
    }

    /// Lets go: what was held goes on its way, as it would on a network that was slow.
    pub fn let_go(&self) {
        *self.state.hold.lock().unwrap() = None;
        self.release.send_replace(true);
    }
}

async fn hold_at(state: &State, released: &mut watch::Receiver<bool>, here: Option<Point>) {
    let held = {
        let mut hold = state.hold.lock().unwrap();
        let is_here = here.is_some() && *hold == here;
        if is_here {
            *hold = None;
        }
        is_here
    };
    if held {
        state.reached.notify_one();
        released.wait_for(|released| *released).await.ok();
    }
}

async fn upwards(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Arc<State>,
    mut released: watch::Receiver<bool>,
    in_mail: Arc<AtomicBool>,
    after_dot: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut header_is_due = true;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut chunk = &buffer[..read];
        if in_mail.load(Ordering::SeqCst) && std::mem::take(&mut header_is_due) {
            let header = state.adds.lock().unwrap().clone();
            if to.write_all(header.as_bytes()).await.is_err() {
                return;
            }
        }
        let here = if in_mail.load(Ordering::SeqCst) {
            (chunk == b".\r\n" || chunk.ends_with(b"\r\n.\r\n")).then_some(Point::Dot)
        } else if chunk.starts_with(b"AUTH") {
            Some(Point::Auth)
        } else if chunk.starts_with(b"MAIL") {
            Some(Point::Mail)
        } else if chunk.starts_with(b"RCPT") {
            Some(Point::Rcpt)
        } else if chunk.starts_with(b"DATA") {
            Some(Point::Data)
        } else {
            None
        };
        if here == Some(Point::Dot) {
            // The mail itself goes on; its end waits.
            let (mail, dot) = chunk.split_at(read - 3);
            if to.write_all(mail).await.is_err() {
                return;
            }
            chunk = dot;
        }
        hold_at(&state, &mut released, here).await;
        if here == Some(Point::Dot) {
            in_mail.store(false, Ordering::SeqCst);
            after_dot.store(true, Ordering::SeqCst);
        }
        if to.write_all(chunk).await.is_err() {
            return;
        }
    }
}

async fn downwards(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Arc<State>,
    mut released: watch::Receiver<bool>,
    in_mail: Arc<AtomicBool>,
    after_dot: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let chunk = &buffer[..read];
        if chunk.starts_with(b"354") {
            in_mail.store(true, Ordering::SeqCst);
        }
        let taken = after_dot.swap(false, Ordering::SeqCst);
        hold_at(&state, &mut released, taken.then_some(Point::Taken)).await;
        if to.write_all(chunk).await.is_err() {
            return;
        }
    }
}
