//! The hour of an event, UTC. Not the client's local time, which a log does not hold.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Int32Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use fyke_types::Micros;

use super::arrays::{integers, times};
use super::function::{ScalarFunction, unchecked};
use crate::doc::FunctionDoc;
use crate::parameter::{Parameter, refuse};

pub(crate) static HOUR_OF_DAY: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "hour_of_day",
        signature: "hour_of_day(time) -> int",
        summary: "Hour of the day, 0 to 23, UTC.",
    },
    parameters: &[Parameter::Time],
    required: 1,
    returns: DataType::Int32,
    run: hours,
    check: unchecked,
};

pub(crate) static IS_NIGHT: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "is_night",
        signature: "is_night(time [, from_hour [, to_hour]]) -> boolean",
        summary: "Whether the hour of the day (UTC) is in [from_hour, to_hour): 0 and 6 by default. From 22 to 6 goes \
                  over midnight; equal hours are never.",
    },
    parameters: &[Parameter::Time, Parameter::Integer, Parameter::Integer],
    required: 1,
    returns: DataType::Boolean,
    run: nights,
    check: check_hours,
};

const MICROS_AN_HOUR: Micros = 3_600_000_000;
const NIGHT_FROM: i64 = 0;
const NIGHT_TO: i64 = 6;

fn hour_of(time: Micros) -> i64 {
    time.div_euclid(MICROS_AN_HOUR).rem_euclid(24)
}

fn hours(args: &[ArrayRef]) -> Result<ArrayRef> {
    let hour = |time: Option<Micros>| time.and_then(|time| i32::try_from(hour_of(time)).ok());
    Ok(Arc::new(times(args, 0)?.iter().map(hour).collect::<Int32Array>()))
}

fn nights(args: &[ArrayRef]) -> Result<ArrayRef> {
    let bound = |index: usize, default: i64| -> Result<Box<dyn Fn(usize) -> Option<i64> + '_>> {
        if index >= args.len() {
            return Ok(Box::new(move |_| Some(default)));
        }
        let column = integers(args, index)?;
        Ok(Box::new(move |row| column.is_valid(row).then(|| column.value(row))))
    };
    let (from, to) = (bound(1, NIGHT_FROM)?, bound(2, NIGHT_TO)?);
    let night = |(row, time): (usize, Option<Micros>)| Some(is_between(hour_of(time?), from(row)?, to(row)?));
    Ok(Arc::new(times(args, 0)?.iter().enumerate().map(night).collect::<BooleanArray>()))
}

fn is_between(hour: i64, from: i64, to: i64) -> bool {
    if from <= to { (from..to).contains(&hour) } else { hour >= from || hour < to }
}

fn check_hours(constants: &[Option<&ScalarValue>]) -> Result<()> {
    for constant in constants.iter().skip(1).flatten() {
        if let ScalarValue::Int64(Some(hour)) = constant
            && !(0..=24).contains(hour)
        {
            return Err(refuse(format!("is_night was given the hour {hour}"), "hours go from 0 to 24, UTC"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_before_1970_count_forward_too() {
        assert_eq!(hour_of(0), 0);
        assert_eq!(hour_of(-1), 23);
        assert_eq!(hour_of(MICROS_AN_HOUR * 30 - 1), 5);
    }

    #[test]
    fn a_night_may_go_over_midnight() {
        assert!(is_between(5, 0, 6) && !is_between(6, 0, 6));
        assert!(is_between(23, 22, 6) && is_between(0, 22, 6) && !is_between(12, 22, 6));
        assert!(!is_between(3, 3, 3));
    }
}
