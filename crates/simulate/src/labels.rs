//! The truth per client, kept apart from the log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::request::{ActorId, Kind, Label, Request};

/// What a client is known by in a log: customer, address, agent (empty where none was sent).
type Key = (Arc<str>, Arc<str>, Arc<str>);

/// Collects who was behind each client (customer, address and agent) of a log.
#[derive(Debug, Clone, Default)]
pub struct LabelTable {
    clients: BTreeMap<Key, BTreeMap<Kind, (u64, ActorId)>>,
}

/// The truth about one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLabel {
    /// The customer's name.
    pub customer: Arc<str>,
    /// The client's address.
    pub client_ip: Arc<str>,
    /// Its agent; empty where none was sent.
    pub agent: Arc<str>,
    /// The class that made most of its requests.
    pub label: Label,
    /// The kind that made most of its requests.
    pub kind: Kind,
    /// The first actor of that kind.
    pub actor: ActorId,
    /// Whether that is a program.
    pub bot: bool,
    /// All requests of this client.
    pub requests: u64,
    /// Requests of other kinds that shared address and agent.
    pub others: u64,
}

impl LabelTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request.
    pub fn observe(&mut self, request: &Request) {
        let agent = request.agent.clone().unwrap_or_default();
        let key = (request.customer.clone(), request.client_ip.clone(), agent);
        let kinds = self.clients.entry(key).or_default();
        kinds.entry(request.actor.kind).or_insert((0, request.actor)).0 += 1;
    }

    /// Number of clients.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// The clients by customer, address and agent.
    pub fn clients(&self) -> impl Iterator<Item = ClientLabel> {
        self.clients.iter().filter_map(|((customer, client_ip, agent), kinds)| {
            let (kind, (most, actor)) = kinds.iter().max_by_key(|(_, (requests, _))| *requests)?;
            let requests = kinds.values().map(|(requests, _)| requests).sum();
            Some(ClientLabel {
                customer: customer.clone(),
                client_ip: client_ip.clone(),
                agent: agent.clone(),
                label: kind.label(),
                kind: *kind,
                actor: *actor,
                bot: kind.label().bot(),
                requests,
                others: requests - most,
            })
        })
    }

    /// Writes `customer,client_ip,agent,label,kind,actor,bot,requests`, quoted where CSV needs it.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_csv(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "customer,client_ip,agent,label,kind,actor,bot,requests")?;
        for client in self.clients() {
            let agent = client.agent.replace('"', "\"\"");
            let ClientLabel { customer, client_ip, label, kind, actor, bot, requests, .. } = client;
            let (label, kind) = (label.name(), kind.name());
            writeln!(out, "{customer},{client_ip},\"{agent}\",{label},{kind},{actor},{bot},{requests}")?;
        }
        Ok(())
    }
}
