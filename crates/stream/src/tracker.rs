//! Watermarks of a source: per input, combined per customer, with the algebra of idle inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke_types::{Input, InputId, Micros, WATERMARK_END, WATERMARK_START};
use serde::{Deserialize, Serialize};

use crate::{Customer, Marks};

/// What says whose row it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerBy {
    /// The input: its topic, folder or file.
    Input,
    /// A column of the row.
    Column(String),
}

/// A source's settings of event time.
#[derive(Debug, Clone)]
pub struct TimeSettings {
    /// The event-time column; without it a source serves only stateless queries.
    pub event_time: Option<String>,
    /// How far rows may come out of order, µs.
    pub lateness: Micros,
    /// Whose row it is.
    pub customer: CustomerBy,
    /// An input that was silent for so long holds nobody back, µs of wall time; none: never.
    pub idle_after: Option<Micros>,
    /// A customer that was silent for so long has its open windows closed, µs of wall time; none: never.
    pub close_after: Option<Micros>,
    /// A row further ahead of the wall clock is a dead letter, µs.
    pub max_ahead: Micros,
}

impl Default for TimeSettings {
    fn default() -> Self {
        Self {
            event_time: None,
            lateness: 0,
            customer: CustomerBy::Input,
            idle_after: Some(60_000_000),
            close_after: Some(600_000_000),
            max_ahead: 86_400_000_000,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct InputState {
    customer: Customer,
    /// The greatest event time so far.
    max: Micros,
    /// The same by customer, where a column says it.
    #[serde(with = "pairs", default)]
    by: BTreeMap<Customer, Micros>,
    ended: bool,
    read_at: Micros,
    /// It is left out of the mark over all: it was silent, or has not caught up since.
    idle: bool,
    /// It was silent for so long that it holds nobody.
    #[serde(default)]
    silent: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CustomerState {
    mark: Micros,
    max: Micros,
    read_at: Micros,
    closed: bool,
}

impl CustomerState {
    fn has_rows(&self) -> bool {
        self.max > WATERMARK_START
    }
}

/// Follows the inputs of one source and says which marks are in force.
#[derive(Debug)]
pub struct Tracker {
    settings: TimeSettings,
    /// Whether some operator follows the customers' own watermarks.
    per_customer: bool,
    inputs: BTreeMap<InputId, InputState>,
    customers: BTreeMap<Customer, CustomerState>,
    all: Micros,
    ended: bool,
    flushed: bool,
}

/// What a tracker knows, to be kept in a checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SavedTracker {
    #[serde(with = "pairs")]
    inputs: BTreeMap<InputId, InputState>,
    #[serde(with = "pairs")]
    customers: BTreeMap<Customer, CustomerState>,
    all: Micros,
    flushed: bool,
}

/// Maps as lists of pairs: JSON's keys are texts.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}

impl Tracker {
    /// What it knows.
    pub fn save(&self) -> SavedTracker {
        let (inputs, customers) = (self.inputs.clone(), self.customers.clone());
        SavedTracker { inputs, customers, all: self.all, flushed: self.flushed }
    }

    /// Goes on from what another one knew.
    pub fn restore(&mut self, saved: SavedTracker) {
        (self.inputs, self.customers) = (saved.inputs, saved.customers);
        (self.all, self.flushed) = (saved.all, saved.flushed);
    }

    /// Time spent stopped is not idle time: everybody was read `now`.
    pub fn woke(&mut self, now: Micros) {
        self.inputs.values_mut().for_each(|input| input.read_at = now);
        self.customers.values_mut().for_each(|customer| customer.read_at = now);
    }

    /// Whether an input is known, from this run or the one before.
    pub fn knows(&self, input: InputId) -> bool {
        self.inputs.contains_key(&input)
    }

    /// No inputs yet.
    pub fn new(settings: TimeSettings, per_customer: bool) -> Self {
        Self {
            settings,
            per_customer,
            inputs: BTreeMap::new(),
            customers: BTreeMap::new(),
            all: WATERMARK_START,
            ended: false,
            flushed: false,
        }
    }

    /// A new input holds its customer back until its rows or its end come. True: it is the first of a customer that
    /// joins while others have moved on; marks must be in force once more before its rows come, or those that others
    /// have reached would make them late.
    pub fn opened(&mut self, input: &Input, customer: Customer, now: Micros) -> bool {
        if let Some(known) = self.inputs.get_mut(&input.id) {
            known.read_at = now;
            return false;
        }
        let state = InputState {
            customer,
            max: WATERMARK_START,
            by: BTreeMap::new(),
            ended: false,
            read_at: now,
            // one that appears while the others have moved on stays out until it has caught up
            idle: self.all > WATERMARK_START,
            silent: false,
        };
        let joins = self.per_customer && state.idle && !self.customers.contains_key(&customer);
        self.inputs.insert(input.id, state);
        if joins {
            let (mark, max) = (WATERMARK_START, WATERMARK_START);
            self.customers.insert(customer, CustomerState { mark, max, read_at: now, closed: false });
        }
        joins
    }

    /// Rows of an input: the greatest event time among those of `customer`.
    pub fn observed(&mut self, input: InputId, customer: Customer, max: Micros, now: Micros) {
        let lateness = self.settings.lateness;
        let by_column = matches!(self.settings.customer, CustomerBy::Column(_));
        if let Some(state) = self.inputs.get_mut(&input) {
            let of_input = state.customer;
            state.max = state.max.max(max);
            state.read_at = now;
            state.silent = false;
            if state.idle && state.max.saturating_sub(lateness) >= self.all {
                state.idle = false;
            }
            if self.per_customer && by_column {
                let own = state.by.entry(customer).or_insert(max);
                *own = (*own).max(max);
                // an input that is called like no customer: nobody waits for rows of that name
                if of_input != customer && self.customers.get(&of_input).is_some_and(|named| !named.has_rows()) {
                    self.customers.remove(&of_input);
                }
            }
        }
        if self.per_customer && customer != Customer::ALL {
            let fresh = CustomerState { mark: WATERMARK_START, max, read_at: now, closed: false };
            let state = self.customers.entry(customer).or_insert(fresh);
            state.max = state.max.max(max);
            state.read_at = now;
            state.closed = false;
        }
        self.flushed = false;
    }

    /// An input came to its end and will not grow.
    pub fn ended(&mut self, input: InputId) {
        if let Some(state) = self.inputs.get_mut(&input) {
            state.ended = true;
        }
    }

    /// All inputs ended and none can come: every window closes.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// All marks stand at `to` at least.
    pub fn advance(&mut self, to: Micros) {
        self.all = self.all.max(to);
        self.customers.values_mut().for_each(|customer| customer.mark = customer.mark.max(to));
    }

    /// Inputs that hold nobody back now, since they were silent for `idle_after`.
    pub fn idle_inputs(&self) -> usize {
        self.inputs.values().filter(|input| input.idle && !input.ended).count()
    }

    /// Customers whose windows were closed now, since they were silent for `close_after`.
    pub fn silent_customers(&self) -> usize {
        self.customers.values().filter(|customer| customer.closed).count()
    }

    /// The mark over all.
    pub fn all(&self) -> Micros {
        self.all
    }

    /// The greatest event time read.
    pub fn max_time(&self) -> Micros {
        self.inputs.values().map(|input| input.max).max().unwrap_or(WATERMARK_START)
    }

    /// The marks in force. `now` is the wall clock of a run that follows its inputs; none in a bounded run, where
    /// nobody is idle, so that the result depends on the data alone.
    pub fn marks(&mut self, now: Option<Micros>) -> Marks {
        if self.ended {
            self.all = WATERMARK_END;
            return Marks::end();
        }
        if let Some(now) = now {
            self.find_idle(now);
        }
        self.advance_all(now.is_some());
        let silent = now.map(|now| self.find_silent(now)).unwrap_or_default();
        if !self.per_customer {
            return Marks { silent: Arc::new(silent), ..Marks::same(self.all) };
        }
        self.advance_customers();
        Marks { silent: Arc::new(silent), ..self.in_force() }
    }

    /// The marks as they stood when [`Tracker::marks`] was asked last.
    pub fn in_force(&self) -> Marks {
        match (self.ended, self.per_customer) {
            (true, _) => Marks::end(),
            (_, false) => Marks::same(self.all),
            (_, true) => {
                let by = self.customers.iter().map(|(customer, state)| (*customer, state.mark)).collect();
                Marks { all: self.all, by: Arc::new(by), silent: Arc::default() }
            }
        }
    }

    fn find_idle(&mut self, now: Micros) {
        let Some(idle_after) = self.settings.idle_after else { return };
        for input in self.inputs.values_mut() {
            if !input.ended && now.saturating_sub(input.read_at) >= idle_after {
                (input.idle, input.silent) = (true, true);
            }
        }
    }

    fn advance_all(&mut self, live: bool) {
        let lateness = self.settings.lateness;
        let open = || self.inputs.values().filter(|input| !input.ended);
        let active = open().filter(|input| !input.idle).map(|input| input.max.saturating_sub(lateness)).min();
        let next = match active {
            Some(mark) => mark,
            // a bounded run's idle inputs are those that appeared late: they hold again
            None if !live => open().map(|input| input.max.saturating_sub(lateness)).min().unwrap_or(self.all),
            None if self.flushed || self.inputs.is_empty() => self.all,
            None => {
                self.flushed = true;
                self.max_time()
            }
        };
        self.all = self.all.max(next);
    }

    fn advance_customers(&mut self) {
        let lateness = self.settings.lateness;
        let by_column = matches!(self.settings.customer, CustomerBy::Column(_));
        for (customer, state) in &mut self.customers {
            let holds = self.inputs.values().filter(|input| by_column || input.customer == *customer);
            let mut open = holds.filter(|input| !input.ended).peekable();
            let mark = if open.peek().is_none() {
                // all its inputs ended: in a bounded run nothing can come
                WATERMARK_END
            } else {
                let own =
                    |input: &InputState| input.by.get(customer).copied().unwrap_or(input.max).saturating_sub(lateness);
                // one that others have left behind may still be as far as its customer is
                let aligned = |input: &InputState| !input.silent && own(input) >= state.mark;
                match open.filter(|input| !input.idle || aligned(input)).map(own).min() {
                    Some(mark) => mark,
                    None => state.max,
                }
            };
            state.mark = state.mark.max(mark);
        }
    }

    fn find_silent(&mut self, now: Micros) -> Vec<Customer> {
        let Some(close_after) = self.settings.close_after else { return Vec::new() };
        let mut silent = Vec::new();
        for (customer, state) in &mut self.customers {
            if state.has_rows() && !state.closed && now.saturating_sub(state.read_at) >= close_after {
                state.closed = true;
                silent.push(*customer);
            }
        }
        let everybody = !self.inputs.is_empty()
            && self.inputs.values().all(|input| now.saturating_sub(input.read_at) >= close_after);
        if everybody {
            silent.push(Customer::ALL);
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(id: u32) -> Input {
        Input { id: InputId(id), name: "i".into(), customer: "c".into() }
    }

    fn tracker(lateness: Micros, per_customer: bool, customer: CustomerBy) -> Tracker {
        let settings = TimeSettings {
            lateness,
            customer,
            idle_after: Some(100),
            close_after: Some(1_000),
            ..TimeSettings::default()
        };
        Tracker::new(settings, per_customer)
    }

    #[test]
    fn unread_input_holds_the_mark() {
        let mut t = tracker(10, false, CustomerBy::Input);
        t.opened(&input(0), Customer(0), 0);
        t.opened(&input(1), Customer(0), 0);
        t.observed(InputId(0), Customer(0), 500, 0);
        assert_eq!(t.marks(None).all, WATERMARK_START.saturating_sub(10));
        t.observed(InputId(1), Customer(0), 300, 0);
        assert_eq!(t.marks(None).all, 290);
        t.ended(InputId(1));
        assert_eq!(t.marks(None).all, 490);
    }

    #[test]
    fn idle_input_is_left_out_until_it_has_caught_up_and_marks_never_regress() {
        let mut t = tracker(0, false, CustomerBy::Input);
        t.opened(&input(0), Customer(0), 0);
        t.opened(&input(1), Customer(0), 0);
        t.observed(InputId(0), Customer(0), 500, 0);
        t.observed(InputId(1), Customer(0), 100, 0);
        assert_eq!(t.marks(Some(50)).all, 100);
        t.observed(InputId(0), Customer(0), 600, 120);
        assert_eq!(t.marks(Some(120)).all, 600, "input 1 is idle");
        assert_eq!(t.idle_inputs(), 1);
        t.observed(InputId(1), Customer(0), 200, 130);
        assert_eq!(t.marks(Some(130)).all, 600, "it has not caught up");
        t.observed(InputId(1), Customer(0), 650, 140);
        t.observed(InputId(0), Customer(0), 900, 140);
        assert_eq!(t.marks(Some(140)).all, 650, "it has caught up and holds again");
    }

    #[test]
    fn restored_tracker_goes_on_where_the_saved_one_stood_and_counts_no_idle_time() {
        let mut t = tracker(10, true, CustomerBy::Column("host".into()));
        t.opened(&input(0), Customer(9), 0);
        t.observed(InputId(0), Customer(0), 500, 0);
        t.observed(InputId(0), Customer(1), 50, 0);
        let before = t.marks(Some(1));
        let text = serde_json::to_string(&t.save()).expect("JSON");
        let mut again = tracker(10, true, CustomerBy::Column("host".into()));
        again.restore(serde_json::from_str(&text).expect("reads"));
        assert_eq!((again.in_force().all, again.in_force().by), (before.all, Arc::clone(&before.by)));
        again.woke(5_000);
        again.opened(&input(0), Customer(9), 5_000);
        let after = again.marks(Some(5_001));
        assert_eq!((after.all, after.by, after.silent.len()), (before.all, before.by, 0));
        again.observed(InputId(0), Customer(1), 700, 5_002);
        assert_eq!(again.marks(Some(5_002)).all, 690);
    }

    #[test]
    fn all_idle_flushes_the_maximum_once() {
        let mut t = tracker(50, false, CustomerBy::Input);
        t.opened(&input(0), Customer(0), 0);
        t.observed(InputId(0), Customer(0), 500, 0);
        assert_eq!(t.marks(Some(10)).all, 450);
        assert_eq!(t.marks(Some(200)).all, 500);
    }

    #[test]
    fn customer_that_joins_late_follows_its_own_inputs_from_its_beginning() {
        for customer in [CustomerBy::Input, CustomerBy::Column("host".into())] {
            let mut t = tracker(10, true, customer);
            assert!(!t.opened(&input(0), Customer(0), 0), "it does not join: nobody has moved on");
            t.observed(InputId(0), Customer(0), 500, 0);
            assert_eq!(t.marks(Some(1)).of(Customer(0)), 490);
            assert!(t.opened(&input(1), Customer(1), 2), "a customer joins");
            assert!(!t.opened(&input(2), Customer(1), 2), "with a second input");
            let marks = t.marks(Some(3));
            assert_eq!((marks.all, marks.of(Customer(0))), (490, 490), "it holds nobody else");
            assert_eq!(marks.of(Customer(1)), WATERMARK_START);
            t.observed(InputId(1), Customer(1), 100, 4);
            assert_eq!(t.marks(Some(4)).of(Customer(1)), WATERMARK_START, "its other input was not read");
            t.observed(InputId(2), Customer(1), 70, 5);
            assert_eq!(t.marks(Some(5)).of(Customer(1)), 60);
            t.observed(InputId(1), Customer(1), 300, 90);
            t.observed(InputId(0), Customer(0), 600, 90);
            assert_eq!(t.marks(Some(110)).of(Customer(1)), 290, "the other one is silent");
            t.observed(InputId(2), Customer(1), 80, 120);
            t.observed(InputId(1), Customer(1), 400, 120);
            assert_eq!(t.marks(Some(120)).of(Customer(1)), 390, "it stays out until it has caught up");
            t.observed(InputId(2), Customer(1), 405, 130);
            t.observed(InputId(1), Customer(1), 460, 130);
            let marks = t.marks(Some(130));
            assert_eq!((marks.all, marks.of(Customer(1))), (590, 395), "it holds again");
        }
    }

    #[test]
    fn file_that_comes_late_and_is_called_like_no_customer_is_none() {
        let mut t = tracker(0, true, CustomerBy::Column("host".into()));
        t.opened(&input(0), Customer(9), 0);
        t.observed(InputId(0), Customer(0), 500, 0);
        t.marks(Some(1));
        assert!(t.opened(&input(1), Customer(8), 2), "it may hold a customer of its own");
        t.observed(InputId(1), Customer(0), 510, 3);
        assert_eq!(t.marks(Some(3)).by.keys().collect::<Vec<_>>(), [&Customer(0)]);
    }

    #[test]
    fn topic_without_rows_is_no_silent_customer() {
        let mut t = tracker(0, true, CustomerBy::Input);
        t.opened(&input(0), Customer(0), 0);
        t.observed(InputId(0), Customer(0), 500, 0);
        t.marks(Some(1));
        t.opened(&input(1), Customer(1), 2);
        t.observed(InputId(0), Customer(0), 600, 1_900);
        assert!(t.marks(Some(2_000)).silent.is_empty());
    }

    #[test]
    fn a_customer_follows_its_own_rows_and_falls_silent_alone() {
        let mut t = tracker(0, true, CustomerBy::Column("host".into()));
        t.opened(&input(0), Customer(9), 0);
        t.observed(InputId(0), Customer(0), 500, 0);
        t.observed(InputId(0), Customer(1), 50, 0);
        let marks = t.marks(Some(1));
        assert_eq!((marks.all, marks.of(Customer(0)), marks.of(Customer(1))), (500, 500, 50));
        t.observed(InputId(0), Customer(0), 600, 1_500);
        let marks = t.marks(Some(1_500));
        assert_eq!(*marks.silent, vec![Customer(1)]);
        assert_eq!(t.silent_customers(), 1);
        assert!(t.marks(Some(1_501)).silent.is_empty(), "closed once");
    }
}
