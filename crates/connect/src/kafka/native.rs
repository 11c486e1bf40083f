//! The few calls of librdkafka that its Rust crate does not offer: a partition's own queue, many records at a time,
//! what is known of a partition's end without asking, and a token for a client whose events nobody serves. All that is unsafe of this connector stands here.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fyke_types::{Error, Result};
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::Watch;

/// Wakes the reader: something came for some partition, or was found out.
#[derive(Debug, Default)]
pub(super) struct Signal {
    came: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Something came.
    pub(super) fn notify(&self) {
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits until something came since the last wait, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) {
        let came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
        let waited = self.changed.wait_timeout_while(came, left, |came| !*came);
        let (mut came, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *came = false;
    }
}

/// Says of one partition that its queue is no longer empty.
#[derive(Debug)]
pub(super) struct Wake {
    signal: Arc<Signal>,
    awake: AtomicBool,
}

impl Wake {
    /// Awake from the start: what is in the queue already does not wake.
    pub(super) fn new(signal: Arc<Signal>) -> Self {
        Self { signal, awake: AtomicBool::new(true) }
    }

    /// Whether something came since [`Wake::sleep`].
    pub(super) fn is_awake(&self) -> bool {
        self.awake.load(Ordering::SeqCst)
    }

    /// To be called before the queue is emptied.
    fn sleep(&self) {
        self.awake.store(false, Ordering::SeqCst);
    }
}

/// The queue of a partition: what was fetched of it and not yet taken.
pub(super) struct Queue {
    consumer: Arc<BaseConsumer<Watch>>,
    queue: NonNull<native::rd_kafka_queue_t>,
    topic: CString,
    partition: i32,
    wake: Arc<Wake>,
    messages: Vec<*mut native::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues may be used from any thread; `messages` is empty between calls.
unsafe impl Send for Queue {}

/// What lay in a queue.
pub(super) enum Taken<'a> {
    /// A record.
    Record(Record<'a>),
    /// For now the partition ends at this offset.
    End(i64),
    /// It can't be read on, and why.
    Failed(Code, String),
}

impl Queue {
    /// The queue of a partition: to be had before the partition is assigned, so that nothing goes elsewhere.
    ///
    /// # Errors
    /// When the client has no such queue.
    pub(super) fn of(
        consumer: &Arc<BaseConsumer<Watch>>,
        topic: &str,
        partition: i32,
        wake: &Arc<Wake>,
    ) -> Result<Self> {
        let none = || Error::internal(format!("the client has no queue for {topic}-{partition}"));
        let name = CString::new(topic).map_err(|_| none())?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives as long as `consumer`, which the queue keeps; `name` ends with a zero.
        let queue = unsafe { native::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
        let queue = NonNull::new(queue).ok_or_else(none)?;
        // SAFETY: the queue was just made; forwarding it to nowhere keeps its records in it; the opaque pointer is that of
        // an `Arc` that the queue holds until it is dropped, where the callback is taken away first.
        unsafe {
            native::rd_kafka_queue_forward(queue.as_ptr(), std::ptr::null_mut());
            let opaque = Arc::as_ptr(wake).cast_mut().cast::<c_void>();
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(not_empty), opaque);
        }
        let (consumer, wake) = (Arc::clone(consumer), Arc::clone(wake));
        Ok(Self { consumer, queue, topic: name, partition, wake, messages: Vec::new() })
    }

    /// From now on only what comes wakes the reader.
    pub(super) fn sleep(&self) {
        self.wake.sleep();
    }

    /// Gives at most `most` of what was fetched to `each`, without waiting; says how many there were.
    pub(super) fn take(&mut self, most: usize, mut each: impl FnMut(Taken<'_>)) -> usize {
        self.messages.clear();
        self.messages.reserve(most);
        // SAFETY: there is room for `most` pointers, and as many as the call says are set by it.
        let taken = unsafe {
            let taken = native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, self.messages.as_mut_ptr(), most);
            let taken = usize::try_from(taken).unwrap_or(0).min(most);
            self.messages.set_len(taken);
            taken
        };
        for message in self.messages.drain(..) {
            // SAFETY: the call gave the message to us alone; it is not used after it is destroyed.
            unsafe {
                each(judge(&*message));
                native::rd_kafka_message_destroy(message);
            }
        }
        taken
    }

    /// The offset behind the last record that the broker had when it was asked last; none before.
    pub(super) fn known_end(&self) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        let client = self.consumer.client().native_ptr();
        // SAFETY: both numbers outlive the call, and `topic` ends with a zero.
        let code = unsafe {
            native::rd_kafka_get_watermark_offsets(client, self.topic.as_ptr(), self.partition, &mut low, &mut high)
        };
        (Code::from(code) == Code::NoError && high >= 0).then_some(high)
    }
}

/// Gives a client its token. Those that are polled ask for it by themselves.
///
/// # Errors
/// `Usage` where the client takes none: it comes in by another mechanism.
pub(super) fn give_token<C: ClientContext>(client: &Client<C>, token: &OAuthToken) -> Result<()> {
    let text = |text: &str| CString::new(text).map_err(|error| Error::data("a token holds a zero byte").detail(error));
    let (value, principal) = (text(&token.token)?, text(&token.principal_name)?);
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: the texts end with zeros and outlive the call, which copies them; `why` is as long as is said.
    let code = unsafe {
        native::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            std::ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    if Code::from(code) == Code::NoError {
        return Ok(());
    }
    // SAFETY: librdkafka ends what it writes with a zero, and the array began as zeros.
    let why = unsafe { CStr::from_ptr(why.as_ptr()) }.to_string_lossy().into_owned();
    Err(Error::usage("the Kafka client does not take the token")
        .detail(why)
        .hint("tokens need 'kafka.sasl.mechanism' 'OAUTHBEARER' and 'kafka.security.protocol' 'SASL_SSL'"))
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the callback is taken away before what it points to; the queue is not used any more.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, std::ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

unsafe extern "C" fn not_empty(_: *mut native::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: the queue that this is called for holds the `Arc` that `wake` points into.
    let wake = unsafe { &*wake.cast_const().cast::<Wake>() };
    wake.awake.store(true, Ordering::SeqCst);
    wake.signal.notify();
}

fn judge(message: &native::rd_kafka_message_t) -> Taken<'_> {
    match Code::from(message.err) {
        Code::NoError => Taken::Record(Record(message)),
        Code::PartitionEOF => Taken::End(message.offset),
        code => {
            // SAFETY: the text belongs to the message, or is a constant.
            let text = unsafe {
                let text = native::rd_kafka_message_errstr(message);
                if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
            };
            Taken::Failed(code, text)
        }
    }
}

/// A record, as long as it is looked at.
pub(super) struct Record<'a>(&'a native::rd_kafka_message_t);

impl Record<'_> {
    /// Its place in the partition.
    pub(super) fn offset(&self) -> i64 {
        self.0.offset
    }

    /// Its value; none for a tombstone.
    pub(super) fn value(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka says where the value is and how long; it lives as long as the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// Its key, if it has one.
    pub(super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: as for the value.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// Milliseconds since 1970, set by the producer or the broker as the topic says.
    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is one that librdkafka gave.
        let time = unsafe { native::rd_kafka_message_timestamp(self.0, &mut kind) };
        (time >= 0).then_some(time)
    }

    /// Name and value of each header, in order.
    pub(super) fn headers(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is one that librdkafka gave; its headers stay with it.
        let code = unsafe { native::rd_kafka_message_headers(self.0, &mut headers) };
        if Code::from(code) != Code::NoError || headers.is_null() {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: all three are set where the call says that there is such a header; they live with the message.
            unsafe {
                let code = native::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if Code::from(code) != Code::NoError || name.is_null() {
                    return;
                }
                each(&CStr::from_ptr(name).to_string_lossy(), bytes(value, size));
            }
        }
    }
}

/// # Safety
/// `start` is null or begins `length` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}
