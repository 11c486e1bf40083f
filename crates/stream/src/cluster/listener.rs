//! The port of a process: whoever comes is heard in a thread of its own, so that strangers hold up nobody.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use fyke_types::{Error, Result};

use super::handshake::{self, Caller};

/// So many greetings go on at once; who comes beyond that is turned away.
const GREETINGS: usize = 64;

/// A process that has shown that it belongs here.
pub(super) struct Arrived {
    pub(super) caller: Caller,
    pub(super) stream: TcpStream,
}

/// The open port. It stays open as long as the process lives.
pub(super) struct Listener {
    pub(super) arrived: Receiver<Arrived>,
}

impl Listener {
    /// Listens at `address`.
    pub(super) fn open(address: &str, token: Vec<u8>) -> Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| {
            Error::unavailable(format!("the cluster's port {address} can't be opened"))
                .detail(error)
                .hint("--index says which line of the hosts file is this process; is another one running?")
        })?;
        let (tell, arrived) = mpsc::channel();
        std::thread::Builder::new()
            .name("cluster port".to_owned())
            .spawn(move || listen(&listener, &Arc::from(token), &tell))
            .map_err(|error| Error::unavailable("the cluster's port has no thread").detail(error))?;
        Ok(Self { arrived })
    }
}

fn listen(listener: &TcpListener, token: &Arc<[u8]>, tell: &Sender<Arrived>) {
    let greetings = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        // one that can't be accepted harms no other
        let Ok(stream) = stream else { continue };
        if greetings.fetch_add(1, Ordering::SeqCst) >= GREETINGS {
            greetings.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (token, tell, count) = (Arc::clone(token), tell.clone(), Arc::clone(&greetings));
        let greeting = std::thread::Builder::new().name("cluster greeting".to_owned()).spawn(move || {
            let mut stream = stream;
            // strangers get no answer, and nobody waits for them
            if let Ok(caller) = handshake::answer(&mut stream, &token) {
                let _ = tell.send(Arrived { caller, stream });
            }
            count.fetch_sub(1, Ordering::SeqCst);
        });
        if greeting.is_err() {
            greetings.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::super::handshake::{Purpose, call};
    use super::*;

    const TOKEN: &[u8] = b"0123456789abcdef";

    fn free_port() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    }

    fn member(index: usize) -> Caller {
        Caller { index, purpose: Purpose::Join { workers: 2, graph: "g".to_owned() } }
    }

    #[test]
    fn who_knows_the_token_comes_in_and_strangers_do_not() {
        let address = free_port();
        let listener = Listener::open(&address, TOKEN.to_vec()).expect("open");
        let wrong = call(&address, b"another token of 16", &member(1)).expect_err("refused").to_string();
        assert!(wrong.contains("token"), "{wrong}");
        // one that sends garbage, one that says nothing, one that claims a huge greeting
        let mut garbage = TcpStream::connect(&address).expect("connects");
        garbage.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let _silent = TcpStream::connect(&address).expect("connects");
        let mut huge = TcpStream::connect(&address).expect("connects");
        huge.write_all(&[0xff; 4]).expect("sent");
        let _ours = call(&address, TOKEN, &member(1)).expect("comes in");
        let arrived = listener.arrived.recv_timeout(Duration::from_secs(5)).expect("arrives");
        assert_eq!(arrived.caller, member(1));
        assert!(listener.arrived.try_recv().is_err(), "nobody else has come in");
    }

    #[test]
    fn a_flood_of_silent_connections_does_not_keep_ours_out_for_longer_than_they_are_heard() {
        let address = free_port();
        let listener = Listener::open(&address, TOKEN.to_vec()).expect("open");
        let _flood: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(&address).ok()).collect();
        // turned away while the greetings are all taken, let in when the silent ones have been given up
        let came = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            call(&address, TOKEN, &member(2)).is_ok()
        });
        assert!(came);
        assert_eq!(listener.arrived.recv_timeout(Duration::from_secs(5)).expect("arrives").caller, member(2));
    }
}
