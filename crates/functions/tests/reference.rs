//! The reference and the functions are the same tables.

use std::collections::BTreeSet;

use datafusion::logical_expr::Volatility;

#[test]
fn every_function_is_in_the_reference_once() {
    let reference = fyke_functions::reference();
    let names: BTreeSet<&str> = reference.iter().map(|doc| doc.name).collect();
    assert_eq!(names.len(), reference.len());
    let scalars = fyke_functions::scalar_functions();
    let aggregates = fyke_functions::aggregate_functions();
    assert_eq!(scalars.len() + aggregates.len(), reference.len());
    assert!(scalars.iter().all(|function| names.contains(function.name())));
    assert!(aggregates.iter().all(|function| names.contains(function.name())));
}

#[test]
fn signatures_begin_with_the_name_and_say_the_result() {
    for doc in fyke_functions::reference() {
        assert!(doc.signature.starts_with(&format!("{}(", doc.name)) && doc.signature.contains(") -> "), "{doc:?}");
        assert!(doc.summary.ends_with('.') && !doc.summary.contains("  "), "{doc:?}");
    }
}

#[test]
fn functions_are_immutable_and_hide_none_of_datafusions() {
    let scalars = fyke_functions::scalar_functions();
    let aggregates = fyke_functions::aggregate_functions();
    assert!(scalars.iter().all(|function| function.signature().volatility == Volatility::Immutable));
    assert!(aggregates.iter().all(|function| function.signature().volatility == Volatility::Immutable));

    let context = datafusion::prelude::SessionContext::new();
    let state = context.state();
    for doc in fyke_functions::reference() {
        assert!(!state.scalar_functions().contains_key(doc.name), "{}", doc.name);
        assert!(!state.aggregate_functions().contains_key(doc.name), "{}", doc.name);
    }
}
