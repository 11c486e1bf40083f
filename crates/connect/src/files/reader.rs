//! Reads inputs in event-time order: of all that have something to give, the one furthest behind gives next. Where they
//! are followed that holds for the inputs of one customer, and customers take turns by their shares. Threads decode ahead
//! what will be needed soonest; they never decide what is given.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fyke_types::{Error, Event, Input, InputId, Reader, Result, Rows};

use super::compression;
use super::decode::{Item, Piece, Stream, Worker};
use super::discover::{Found, Location};
use super::lookahead::Tracked;
use super::objects;
use super::pool::{Done, Pool};
use super::position::{Saved, SavedInput};
use super::source::InputMaker;
use crate::order::furthest_behind;
use crate::shares::{Shares, Whose};
use crate::stdio::{Feed, until};

/// File handles held open at once.
const HANDLES: usize = 256;

/// One reading of a table in files.
pub(super) struct FileReader {
    inputs: Vec<Tracked>,
    /// Inputs that were not announced yet.
    announce: VecDeque<usize>,
    pool: Pool<Worker>,
    /// Blocks that may be decoded or under way at once.
    budget: usize,
    /// Inputs with an open handle, the longest open first.
    open: VecDeque<usize>,
    maker: InputMaker,
    growth: Option<Growth>,
    feed: Option<Arc<Feed>>,
    /// By name, the number of a customer. A bounded reading knows one: its order follows the data alone.
    customers: BTreeMap<String, Whose>,
    shares: Shares,
}

/// How a followed location grows.
pub(super) struct Growth {
    location: Location,
    poll: Duration,
    next: Option<Instant>,
    paths: BTreeSet<PathBuf>,
    /// Compressed files that appeared, with their size: they are read once they are complete.
    settling: Vec<(PathBuf, u64)>,
}

impl Growth {
    /// `location`, looked at every `poll`.
    pub(super) fn new(location: Location, poll: Duration) -> Self {
        Self { location, poll, next: None, paths: BTreeSet::new(), settling: Vec::new() }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| now >= next);
        if due || self.next.is_none() {
            self.next = now.checked_add(self.poll);
        }
        due
    }

    /// New paths to read; compressed ones only when their size has stood still for one poll.
    fn new_paths(&mut self, was_read: impl Fn(&PathBuf) -> bool) -> Result<Vec<PathBuf>> {
        if !self.location.may_grow() {
            return Ok(Vec::new());
        }
        let mut new = Vec::new();
        let before = std::mem::take(&mut self.settling);
        for path in self.location.paths()? {
            if self.paths.contains(&path) {
                continue;
            }
            if compression::is_compressed_name(&path) && !objects::is_object(&path) {
                let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
                if !before.contains(&(path.clone(), size)) {
                    self.settling.push((path, size));
                    continue;
                }
            }
            // a renamed file may be renamed on, so its name stays free for another
            if was_read(&path) {
                continue;
            }
            self.paths.insert(path.clone());
            new.push(path);
        }
        Ok(new)
    }
}

/// Blocks decoded ahead beside two for each thread, so that threads need not stop while an epoch closes.
const AHEAD: usize = 14;

impl FileReader {
    /// A reader of no inputs yet.
    pub(super) fn new(pool: Pool<Worker>, threads: usize, maker: InputMaker, growth: Option<Growth>) -> Self {
        // the caller's own thread needs nothing ahead of it
        let budget = if threads == 0 { 0 } else { 2 * threads + AHEAD };
        let (inputs, announce, open) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let (customers, shares) = (BTreeMap::new(), Shares::default());
        Self { inputs, announce, pool, budget, open, maker, growth, feed: None, customers, shares }
    }

    /// Adds a file.
    pub(super) fn add(&mut self, found: Found) {
        if let Some(growth) = &mut self.growth {
            growth.paths.insert(found.path.clone());
        }
        let (name, customer) = (found.name(), self.maker.customer(&found));
        let entry = found.entry.as_ref().map(|entry| entry.name.clone());
        let given = SavedInput::new(found.path.clone(), entry, customer);
        let (stream, read) = self.maker.stream(found);
        self.track(&name, stream, read, given);
    }

    /// Adds standard input.
    pub(super) fn add_feed(&mut self, feed: Arc<Feed>) {
        let stream = self.maker.feed(Arc::clone(&feed));
        self.feed = Some(feed);
        self.track("stdin", stream, Arc::default(), SavedInput::new(PathBuf::new(), None, "stdin".to_owned()));
    }

    /// Goes on where another reading stood: its inputs keep their numbers, and those that ended stay so.
    ///
    /// # Errors
    /// `Data` where the position can't be read, or the rest of an input can't be found.
    pub(super) fn resume(&mut self, position: &str) -> Result<()> {
        let saved: Saved = serde_json::from_str(position)
            .map_err(|error| Error::data("the position of a table in files can't be read").detail(error))?;
        self.maker.restore(saved.known);
        for given in saved.inputs {
            if let Some(growth) = &mut self.growth {
                growth.paths.insert(given.path.clone());
            }
            let (stream, read) = self.maker.rest(&given)?;
            self.track(&given.name(), stream, read, given);
        }
        Ok(())
    }

    /// The names of the inputs so far.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.inputs.iter().map(|input| input.given.name()).collect()
    }

    /// Whether a file was read under another name.
    pub(super) fn was_read(&self, found: &Found) -> bool {
        self.maker.was_read(&found.path)
    }

    fn track(&mut self, name: &str, stream: Arc<Mutex<Stream>>, read: Arc<AtomicU64>, given: SavedInput) {
        let index = self.inputs.len();
        let id = InputId(u32::try_from(index).unwrap_or(u32::MAX));
        let input = Input { id, name: name.into(), customer: given.customer.as_str().into() };
        if !given.ended {
            self.announce.push_back(index);
        }
        let next = self.customers.len();
        let whose = match self.growth {
            Some(_) => *self.customers.entry(given.customer.clone()).or_insert(next),
            None => 0,
        };
        self.inputs.push(Tracked::new(input, whose, stream, read, given));
    }

    fn submit(&mut self, index: usize) {
        let Some(tracked) = self.inputs.get_mut(index) else { return };
        self.pool.submit(tracked.task(index));
        if self.open.contains(&index) {
            return;
        }
        self.open.push_back(index);
        if self.open.len() > HANDLES
            && let Some(tracked) = self.open.pop_front().and_then(|oldest| self.inputs.get(oldest))
        {
            tracked.stream().close();
        }
    }

    fn collect_one(&mut self) -> Result<()> {
        let done = self.pool.wait()?;
        self.collect(done)
    }

    fn collect(&mut self, done: Done) -> Result<()> {
        if let (u64::MAX, Item::Failed(error)) = (done.number, &done.item) {
            return Err(error.clone());
        }
        if let Some(tracked) = self.inputs.get_mut(done.input) {
            tracked.done(done.number, done.item);
        }
        Ok(())
    }

    /// Lets threads work on what will be needed soonest.
    fn run_ahead(&mut self) -> Result<()> {
        while let Some(done) = self.pool.ready() {
            self.collect(done)?;
        }
        let mut held: usize = self.inputs.iter().map(Tracked::held).sum();
        while held < self.budget {
            let candidates = self.inputs.iter().enumerate().filter(|(_, t)| t.may_run_ahead());
            let Some(index) = furthest_behind(candidates.map(|(i, t)| (i, t.needed_at()))) else { break };
            self.submit(index);
            held += 1;
        }
        Ok(())
    }

    /// The next item of an input, decoded now if it was not before.
    fn next_of(&mut self, index: usize) -> Result<Option<Item>> {
        loop {
            let Some(tracked) = self.inputs.get_mut(index) else { return Ok(None) };
            if let Some(item) = tracked.take() {
                return Ok(Some(item));
            }
            if !tracked.is_under_way() {
                self.submit(index);
            }
            self.collect_one()?;
        }
    }

    fn give(&mut self, index: usize) -> Result<Option<Event>> {
        let item = self.next_of(index)?;
        let Some(tracked) = self.inputs.get_mut(index) else { return Ok(None) };
        match item {
            Some(Item::Piece(piece)) => {
                self.shares.gave(tracked.whose, piece.lines);
                Ok(give_rows(tracked, *piece))
            }
            Some(Item::Dry) => {
                tracked.dry = tracked.is_idle();
                Ok(None)
            }
            Some(Item::End) => {
                self.open.retain(|open| *open != index);
                tracked.ended = true;
                Ok(Some(Event::Ended(tracked.input.id)))
            }
            Some(Item::Failed(error)) => Err(error),
            None => Ok(None),
        }
    }

    /// Looks for what was appended and for new files; says whether there is any.
    fn look(&mut self) -> Result<bool> {
        let Some(growth) = &mut self.growth else { return Ok(false) };
        let maker = &self.maker;
        let new = growth.new_paths(|path| maker.was_read(path))?;
        let found = Location::inputs(new)?;
        let any = !found.is_empty();
        found.into_iter().for_each(|found| self.add(found));
        Ok(self.wake_dry() || any)
    }

    fn wake_dry(&mut self) -> bool {
        let mut more = false;
        for tracked in self.inputs.iter_mut().filter(|t| t.dry && !t.ended) {
            let has_more = tracked.stream().has_more();
            if has_more {
                tracked.wake();
            }
            more |= has_more;
        }
        more
    }

    fn is_due(&mut self) -> bool {
        self.growth.as_mut().is_some_and(|growth| growth.is_due(Instant::now()))
    }

    /// Waits for more, at most until `deadline`; says whether to try again.
    fn idle(&mut self, deadline: Instant) -> Result<bool> {
        let poll = self.growth.as_ref().map_or(Duration::from_millis(200), |growth| growth.poll);
        let wait = until(deadline, poll);
        match &self.feed {
            Some(feed) => feed.wait(wait),
            None => std::thread::sleep(wait),
        }
        if self.feed.is_some() && self.wake_dry() {
            return Ok(true);
        }
        if self.is_due() && self.look()? {
            return Ok(true);
        }
        Ok(Instant::now() < deadline)
    }

    fn has_all_ended(&self) -> bool {
        let may_grow = self.growth.as_ref().is_some_and(|growth| growth.location.may_grow());
        !may_grow && self.inputs.iter().all(|tracked| tracked.ended)
    }
}

fn give_rows(tracked: &mut Tracked, piece: Piece) -> Option<Event> {
    if piece.fresh {
        tracked.given.lines = 0;
    }
    tracked.progress.gave(piece.latest);
    let before = tracked.given.lines;
    tracked.given.lines += piece.lines;
    tracked.given.offset = piece.end;
    tracked.given.set_origin(piece.origin.as_deref());
    tracked.given.directive = piece.directive.as_deref().map(|line| String::from_utf8_lossy(line).into_owned());
    if piece.read == 0 {
        return None;
    }
    let mut dead = piece.dead;
    for letter in &mut dead {
        letter.line += before;
    }
    let (input, batch) = (tracked.input.id, piece.batch);
    Some(Event::Rows(Rows { input, batch, dead, read: piece.read, position: piece.end }))
}

impl Reader for FileReader {
    fn next(&mut self, wait: Duration) -> Result<Event> {
        let now = Instant::now();
        let deadline = now.checked_add(wait).unwrap_or(now);
        loop {
            if self.is_due() {
                self.look()?;
            }
            if let Some(tracked) = self.announce.pop_front().and_then(|index| self.inputs.get(index)) {
                return Ok(Event::Opened(tracked.input.clone()));
            }
            self.run_ahead()?;
            let able = self.inputs.iter().enumerate().filter(|(_, t)| !t.ended && !t.dry);
            match self.shares.next(able.map(|(i, t)| (i, t.whose, t.progress.at()))) {
                Some(index) => {
                    if let Some(event) = self.give(index)? {
                        return Ok(event);
                    }
                }
                None if self.has_all_ended() => return Ok(Event::End),
                None => {
                    if !self.idle(deadline)? {
                        return Ok(Event::Waiting);
                    }
                }
            }
        }
    }

    fn position(&self) -> Result<Option<String>> {
        if self.feed.is_some() {
            return Ok(None);
        }
        let saved = Saved { inputs: self.inputs.iter().map(Tracked::saved).collect(), known: self.maker.known() };
        let text = serde_json::to_string(&saved);
        text.map(Some).map_err(|error| Error::internal("a position can't be written").detail(error))
    }

    fn bytes_read(&self) -> u64 {
        self.inputs.iter().map(Tracked::bytes_read).sum()
    }
}
