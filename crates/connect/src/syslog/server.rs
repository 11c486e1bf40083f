//! Listens for messages: datagrams, and connections that are cut into messages.

use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use fyke_types::{Error, Result, Settings};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use super::framing::{Framed, Framing};
use super::{CustomerFrom, Messages};
use crate::push::{Inbox, Listener, Record, Refused, Runtime, Sorter, record_bytes};

const MESSAGE_BYTES: u64 = 64 << 10;
/// The largest datagram that there is.
const DATAGRAM_BYTES: usize = 65_536;
/// Datagrams taken at once.
const DATAGRAMS: usize = 1_024;
const CHUNK_BYTES: usize = 64 << 10;
/// Connections at once; more wait.
const CONNECTIONS: usize = 1_024;

/// Where to listen, and how.
#[derive(Debug)]
pub(super) struct SyslogListener {
    address: String,
    udp: bool,
    tcp: bool,
    message_bytes: usize,
    customer_from: CustomerFrom,
}

impl SyslogListener {
    /// Reads `udp://`, `tcp://` or `syslog://ADDRESS:PORT`, and takes `message_bytes`.
    ///
    /// # Errors
    /// `Usage` for what is no address.
    pub(super) fn new(location: &str, customer_from: CustomerFrom, settings: &mut Settings) -> Result<Self> {
        let (scheme, address) = location.split_once("://").unwrap_or(("syslog", location));
        let address = address.trim_end_matches('/');
        let (udp, tcp) = match scheme {
            "udp" => (true, false),
            "tcp" => (false, true),
            _ => (true, true),
        };
        let known = matches!(scheme, "udp" | "tcp" | "syslog");
        if !known
            || !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            return Err(Error::usage(format!("the location '{location}' is nothing to listen at"))
                .hint("write 'udp://0.0.0.0:5514', 'tcp://0.0.0.0:5514', or 'syslog://0.0.0.0:5514' for both"));
        }
        let message_bytes = record_bytes(settings, "message_bytes", MESSAGE_BYTES)?;
        Ok(Self { address: address.to_owned(), udp, tcp, message_bytes, customer_from })
    }

    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::unavailable(format!("{} can't be listened at", self.address))
            .detail(error)
            .hint("is something listening there already, or may this user not use that port?")
    }
}

impl Listener for SyslogListener {
    fn listen(&self, inbox: Arc<Inbox>) -> Result<(Vec<SocketAddr>, Box<dyn Send>)> {
        let failed = |error| self.failed(error);
        let mut wanted: Vec<SocketAddr> = self.address.to_socket_addrs().map_err(failed)?.collect();
        let runtime = Runtime::new("fyke-syslog")?;
        let mut addresses = Vec::new();
        if self.udp {
            let socket = UdpSocket::bind(wanted.as_slice()).map_err(failed)?;
            socket.set_nonblocking(true).map_err(failed)?;
            let address = socket.local_addr().map_err(failed)?;
            addresses.push(address);
            // a port that the system chose serves both
            wanted.iter_mut().for_each(|wanted| wanted.set_port(address.port()));
            let socket = runtime.enter(|| tokio::net::UdpSocket::from_std(socket)).map_err(failed)?;
            runtime.spawn(datagrams(socket, Arc::clone(&inbox)));
        }
        if self.tcp {
            let listener = TcpListener::bind(wanted.as_slice()).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            let listener = runtime.enter(|| tokio::net::TcpListener::from_std(listener)).map_err(failed)?;
            runtime.spawn(connections(listener, inbox, self.message_bytes));
        }
        Ok((addresses, Box::new(runtime)))
    }

    fn sorter(&self) -> Arc<dyn Sorter> {
        Arc::new(Messages(self.customer_from))
    }
}

fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| v6.to_string(), |v4| v4.to_string()),
        IpAddr::V4(v4) => v4.to_string(),
    }
}

/// Puts records until they are taken: a sender that gets no answer can't send them again.
async fn put(inbox: &Inbox, records: Vec<Record>) {
    let mut records = records;
    while !records.is_empty() {
        inbox.room().await;
        match inbox.put(records.clone()).await {
            Ok(()) => records.clear(),
            Err(Refused::Full) => {}
            // the disk may have room again
            Err(Refused::Failed(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn datagrams(socket: tokio::net::UdpSocket, inbox: Arc<Inbox>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let mut records = Vec::new();
        match socket.recv_from(&mut buffer).await {
            Ok((size, from)) => records.push(datagram(buffer.get(..size).unwrap_or_default(), from)),
            // an answer to somebody who hung up: no fault of the socket
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        }
        while records.len() < DATAGRAMS
            && let Ok((size, from)) = socket.try_recv_from(&mut buffer)
        {
            records.push(datagram(buffer.get(..size).unwrap_or_default(), from));
        }
        put(&inbox, records).await;
    }
}

fn datagram(bytes: &[u8], from: SocketAddr) -> Record {
    Record { who: shown(from.ip()), bytes: bytes.trim_ascii_end().to_vec(), reason: String::new() }
}

async fn connections(listener: tokio::net::TcpListener, inbox: Arc<Inbox>, message_bytes: usize) {
    let turns = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let Ok((stream, from)) = listener.accept().await else {
            // no file handles: some connection may end
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let inbox = Arc::clone(&inbox);
        drop(tokio::spawn(async move {
            connection(stream, shown(from.ip()), &inbox, message_bytes).await;
            drop(turn);
        }));
    }
}

async fn connection(mut stream: tokio::net::TcpStream, who: String, inbox: &Inbox, message_bytes: usize) {
    let mut framing = Framing::new(message_bytes);
    let mut buffer = vec![0; CHUNK_BYTES];
    let record = |(bytes, reason): Framed| Record { who: who.clone(), bytes, reason: reason.unwrap_or_default() };
    loop {
        // before more is read: the sender waits as long as the stream does not keep up
        inbox.room().await;
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        let mut framed = Vec::new();
        match read {
            0 => framing.end(&mut framed),
            read => framing.take(buffer.get(..read).unwrap_or_default(), &mut framed),
        }
        put(inbox, framed.into_iter().map(&record).collect()).await;
        if read == 0 {
            return;
        }
    }
}
