//! Where the parts of a request stand in objects of one shape. Lines of a log have the same keys in the same order
//! nearly always: they are looked for once, and then found by their place.

use crate::json::value::{Object, Value, get};

use super::keys::Keys;

/// Where a value is: under a key of the line, or below it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What the key is called.
    pub name: &'static str,
    index: usize,
    below: Vec<&'static str>,
}

impl Place {
    /// The place of `name` in objects with the keys `shape`; of keys that come twice the last. Where there is no such
    /// key, its dots spell a path.
    fn of(name: &'static str, shape: &[String]) -> Option<Self> {
        let last = |key: &str| shape.iter().rposition(|own| own == key);
        if let Some(index) = last(name) {
            return Some(Self { name, index, below: Vec::new() });
        }
        let mut path = name.split('.');
        let index = last(path.next()?)?;
        let below: Vec<&str> = path.collect();
        (!below.is_empty()).then_some(Self { name, index, below })
    }

    /// The value, whatever it is.
    pub fn any<'v, 'a>(&self, object: &'v Object<'a>) -> Option<&'v Value<'a>> {
        let mut value = object.get(self.index).map(|(_, value)| value)?;
        for name in &self.below {
            let Value::Object(inside) = value else { return None };
            value = get(inside, name)?;
        }
        Some(value)
    }

    /// The value, if it is a scalar that says something; of a list below the line's own keys (a header that may come
    /// several times) the first.
    pub fn scalar<'v, 'a>(&self, object: &'v Object<'a>) -> Option<&'v Value<'a>> {
        match self.any(object)? {
            Value::Array(values) if !self.below.is_empty() => values.first().filter(|first| says(first)),
            value => Some(value).filter(|value| says(value)),
        }
    }

    /// Whether it is a key of the line itself.
    pub fn is_top(&self) -> bool {
        self.below.is_empty()
    }
}

fn says(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => false,
        Value::Text(text) => !matches!(text.as_ref(), "" | "-"),
        _ => true,
    }
}

/// The places of [`Keys`] that a shape has.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    shape: Vec<String>,
    pub time: Vec<Place>,
    pub date_and_clock: Option<(Place, Place)>,
    pub host: Vec<Place>,
    pub address: Vec<Place>,
    pub peer: Vec<Place>,
    pub user: Vec<Place>,
    pub method: Vec<Place>,
    pub target: Vec<Place>,
    pub query: Vec<Place>,
    pub protocol: Vec<Place>,
    pub status: Vec<Place>,
    pub bytes: Vec<Place>,
    pub referrer: Vec<Place>,
    pub agent: Vec<Place>,
    pub request: Vec<Place>,
    pub duration: Vec<(Place, crate::access::DurationUnit)>,
    pub duration_parts: Vec<(Place, crate::access::DurationUnit)>,
    pub headers: Option<Place>,
}

impl Plan {
    /// The plan for objects like `object`.
    pub fn new(keys: &Keys, object: &Object<'_>) -> Self {
        let shape: Vec<String> = object.iter().map(|(key, _)| key.clone().into_owned()).collect();
        let place = |name: &'static str| Place::of(name, &shape);
        let places = |names: &[&'static str]| names.iter().filter_map(|name| place(name)).collect();
        let spans = |names: &[(&'static str, crate::access::DurationUnit)]| -> Vec<_> {
            names.iter().filter_map(|(name, unit)| Some((place(name)?, *unit))).collect()
        };
        let parts = spans(keys.duration_parts);
        Self {
            time: places(keys.time),
            date_and_clock: keys.date_and_clock.and_then(|(date, clock)| place(date).zip(place(clock))),
            host: places(keys.host),
            address: places(keys.address),
            peer: places(keys.peer),
            user: places(keys.user),
            method: places(keys.method),
            target: places(keys.target),
            query: places(keys.query),
            protocol: places(keys.protocol),
            status: places(keys.status),
            bytes: places(keys.bytes),
            referrer: places(keys.referrer),
            agent: places(keys.agent),
            request: places(keys.request),
            duration: spans(keys.duration),
            // a part of a duration is no duration
            duration_parts: if parts.len() == keys.duration_parts.len() { parts } else { Vec::new() },
            headers: keys.headers.and_then(place),
            shape,
        }
    }

    /// Whether `object` has this shape.
    pub fn fits(&self, object: &Object<'_>) -> bool {
        self.shape.len() == object.len() && self.shape.iter().zip(object).all(|(own, (key, _))| own == key)
    }
}
