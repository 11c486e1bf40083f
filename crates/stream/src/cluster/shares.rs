//! State on its way back to workers that are not those that saved it: pieces are cut by slot.

use std::collections::BTreeMap;

use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::compute::filter_record_batch;
use fyke_types::{Error, Result};

use super::slots::{slots_of, worker_of};
use crate::execution::Saved;
use crate::{Graph, Memo, NodeId, Operator, Piece, Snapshot};

/// One worker of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) worker: usize,
    pub(crate) of: usize,
}

/// The name under which a worker's part of an operator's state is saved; alone, the operator's own.
pub(crate) fn name_of(key: &str, share: Option<Share>) -> String {
    match share {
        Some(share) => format!("{key}.w{}", share.worker),
        None => key.to_owned(),
    }
}

/// The operator's name in such a name.
pub(crate) fn operator_of(name: &str) -> &str {
    name.split_once(".w").map_or(name, |(key, _)| key)
}

/// What a worker (or the only one) gets of the state that was saved by however many.
///
/// Pieces keep their numbers, so that they need not be written again, where all that a worker gets is what it had.
pub(crate) fn restored_for(graph: &Graph, saved: Vec<Saved>, share: Option<Share>) -> Result<Vec<(NodeId, Snapshot)>> {
    let mut by_node: BTreeMap<NodeId, Vec<(String, Snapshot)>> = BTreeMap::new();
    for (name, node, snapshot) in saved {
        by_node.entry(node).or_default().push((name, snapshot));
    }
    by_node
        .into_iter()
        .map(|(node, parts)| {
            let Some(operator) = graph.operator(node) else {
                return Err(Error::internal("state of an operator that is not there"));
            };
            let own = graph.keys().get(node.0).map(|key| name_of(key, share)).unwrap_or_default();
            Ok((node, together(operator, &own, parts, share)?))
        })
        .collect()
}

fn together(
    operator: &dyn Operator,
    own: &str,
    parts: Vec<(String, Snapshot)>,
    share: Option<Share>,
) -> Result<Snapshot> {
    let mut memo = Memo::default();
    let mut closed = BTreeMap::new();
    let mut pieces: Vec<(bool, Piece)> = Vec::new();
    let mut next_own = 0;
    for (name, snapshot) in parts {
        let is_own = name == own;
        memo.emitted |= snapshot.memo.emitted;
        if is_own {
            next_own = snapshot.memo.next_piece;
        }
        for (customer, to) in snapshot.memo.closed {
            let known = closed.entry(customer).or_insert(to);
            *known = to.max(*known);
        }
        for piece in snapshot.pieces {
            if let Some((whole, piece)) = cut(operator, piece, share)? {
                pieces.push((is_own && whole, piece));
            }
        }
    }
    memo.next_piece = next_own;
    for (as_it_was, piece) in &mut pieces {
        if !*as_it_was {
            piece.number = memo.next_piece;
            piece.kept = false;
            memo.next_piece += 1;
        }
    }
    memo.closed = closed.into_iter().collect();
    Ok(Snapshot { pieces: pieces.into_iter().map(|(_, piece)| piece).collect(), memo })
}

/// What is a worker's of a piece, and whether that is the whole piece.
fn cut(operator: &dyn Operator, piece: Piece, share: Option<Share>) -> Result<Option<(bool, Piece)>> {
    let Some(share) = share else { return Ok(Some((true, piece))) };
    let rows = piece.content()?;
    let keys = operator.saved_keys(piece.place.port as usize, rows)?;
    let slots = slots_of(&keys, rows.num_rows())?;
    let is_own = |slot: &u8| worker_of(usize::from(*slot), share.of) == share.worker;
    if slots.iter().all(is_own) {
        return Ok((rows.num_rows() > 0).then_some((true, piece)));
    }
    let own: BooleanArray =
        slots.iter().enumerate().map(|(row, slot)| Some(is_own(slot) && piece.is_alive(row))).collect();
    let rows = filter_record_batch(rows, &own)?;
    Ok((rows.num_rows() > 0).then(|| (false, Piece { rows: Some(rows), alive: None, ..piece })))
}
