//! Looks for new topics and partitions in a thread of its own: a broker that does not answer stops nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use fyke_types::{Error, Result};
use rdkafka::consumer::BaseConsumer;

use super::client::Watch;
use super::cluster::{Cluster, Place};
use super::native::Signal;
use super::options::{At, Options};

/// One look's answer is waited for so long.
const WAIT: Duration = Duration::from_secs(10);
/// A topic is gone when so many looks in a row did not find it: while brokers change places one may not know it.
const LOOKS: u32 = 2;

/// What a look found.
#[derive(Debug)]
pub(super) enum News {
    /// New partitions and where they begin.
    New(BTreeMap<Place, i64>),
    /// A topic that is no longer there.
    Gone(String),
}

/// The thread, which ends some time after this is dropped.
pub(super) struct Discovery {
    news: Receiver<News>,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Discovery {
    /// Looks every `every` for what is not `known`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(
        consumer: Arc<BaseConsumer<Watch>>,
        options: Options,
        every: Duration,
        known: BTreeSet<Place>,
        signal: Arc<Signal>,
    ) -> Result<Self> {
        let (give, news) = channel();
        let stop: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let look = Look { consumer, options, known, absent: BTreeMap::new(), give, signal };
        let stopped = Arc::clone(&stop);
        let run = move || look.every(every, &stopped);
        let thread = std::thread::Builder::new().name("fyke-topics".into()).spawn(run);
        thread.map_err(|error| Error::unavailable("a thread to look for topics can't be started").detail(error))?;
        Ok(Self { news, stop })
    }

    /// What was found since the last call.
    pub(super) fn next(&self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
    }
}

struct Look {
    consumer: Arc<BaseConsumer<Watch>>,
    options: Options,
    known: BTreeSet<Place>,
    /// Topics that the last looks did not find.
    absent: BTreeMap<String, u32>,
    give: Sender<News>,
    signal: Arc<Signal>,
}

impl Look {
    fn every(mut self, every: Duration, stop: &(Mutex<bool>, Condvar)) {
        loop {
            let stopped = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = stop.1.wait_timeout_while(stopped, every, |stopped| !*stopped);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            // what a broker says that is down, the reading says already
            let Ok(news) = self.look() else { continue };
            for news in news {
                if self.give.send(news).is_err() {
                    return;
                }
                self.signal.notify();
            }
        }
    }

    fn look(&mut self) -> Result<Vec<News>> {
        let cluster = Cluster { consumer: &self.consumer, connection: &self.options.connection, most: WAIT };
        let found = cluster.find(&self.options.topics)?;
        let new: Vec<Place> = found.places().into_iter().filter(|place| !self.known.contains(place)).collect();
        let mut news = Vec::new();
        if !new.is_empty() {
            let starts = cluster.offsets(&new, &At::Earliest, &At::Earliest)?;
            self.known.extend(starts.keys().cloned());
            news.push(News::New(starts));
        }
        let topics: BTreeSet<String> = self.known.iter().map(|(topic, _)| topic.clone()).collect();
        for topic in topics {
            if found.topics.contains_key(&topic) {
                self.absent.remove(&topic);
                continue;
            }
            let looks = self.absent.entry(topic.clone()).or_insert(0);
            *looks += 1;
            if *looks == LOOKS {
                self.known.retain(|(known, _)| *known != topic);
                self.absent.remove(&topic);
                news.push(News::Gone(topic));
            }
        }
        Ok(news)
    }
}
