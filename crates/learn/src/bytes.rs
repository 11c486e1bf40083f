//! A model as one piece of bytes, to ship inside a binary: the card, the trees, a checksum.
//!
//! `"FYKEMODL"`, form (u32), length of the card (u32), the card (JSON), number of trees (u32), for each its number of
//! nodes (u32) and its nodes breadth first, and the stable hash of all before it (u64). Numbers are little-endian. A
//! node is a kind (u8) and what belongs to it; children need no pointers, since the k-th split's follow in order.

use fyke_types::{Error, Result};

use crate::card::Card;
use crate::hash::hash_bytes;
use crate::model::Model;
use crate::raw_tree::{RawNode, Test};
use crate::trees::Forest;

const MAGIC: &[u8; 8] = b"FYKEMODL";
const FORM: u32 = 1;

const LEAF: u8 = 0;
/// Kinds of splits: this, plus 1 where missing goes right, plus 2 where categories are asked.
const SPLIT: u8 = 1;
/// The least a node takes: its kind, a value, a cover.
const NODE_BYTES_MIN: usize = 9;

impl Model {
    /// The model as bytes: the same model gives the same bytes.
    ///
    /// # Errors
    /// `Internal` where the card can't be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let card = Card::of(self).write()?;
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, FORM);
        put_len(&mut bytes, card.len())?;
        bytes.extend_from_slice(&card);
        put_len(&mut bytes, self.forest().trees())?;
        for tree in 0..self.forest().trees() {
            let nodes = self.forest().raw_tree(tree);
            put_len(&mut bytes, nodes.len())?;
            nodes.iter().try_for_each(|node| put_node(&mut bytes, node))?;
        }
        let checksum = hash_bytes(&bytes).finish();
        bytes.extend_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }

    /// The model in these bytes.
    ///
    /// # Errors
    /// `Data` for bytes that are no model, of a newer form, cut off or altered.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(MAGIC) {
            return Err(Error::data("these bytes are no model of ours").hint("a model is made by training"));
        }
        let (body, checksum) = bytes.split_last_chunk::<8>().ok_or_else(cut_off)?;
        let mut reader = Reader { left: body.get(MAGIC.len()..).ok_or_else(cut_off)? };
        let form = reader.number()?;
        if form != FORM {
            return Err(Error::data(format!("the model has form {form}, this version reads {FORM}"))
                .hint("update, or train again"));
        }
        if hash_bytes(body).finish() != u64::from_le_bytes(*checksum) {
            return Err(Error::data("the model's bytes are altered or cut off: their checksum differs"));
        }
        let length = reader.number()?;
        let card = Card::read(reader.take(length as usize)?)?;
        let forest = read_forest(&mut reader, &card)?;
        card.into_model(forest)
    }
}

fn read_forest(reader: &mut Reader, card: &Card) -> Result<Forest> {
    let mut forest = Forest::new(card.width(), card.base_margin())?;
    for _ in 0..reader.number()? {
        let nodes = reader.number()? as usize;
        // checked before anything is allocated for them
        if nodes > reader.left.len() / NODE_BYTES_MIN {
            return Err(cut_off());
        }
        let mut tree = Vec::with_capacity(nodes);
        let mut next_child = 1;
        for _ in 0..nodes {
            tree.push(reader.node(&mut next_child)?);
        }
        forest.push(&tree)?;
    }
    if reader.left.is_empty() { Ok(forest) } else { Err(Error::data("the model's bytes go on after its trees")) }
}

fn cut_off() -> Error {
    Error::data("the model's bytes are cut off")
}

fn put(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put_len(bytes: &mut Vec<u8>, len: usize) -> Result<()> {
    let len = u32::try_from(len).map_err(|_| Error::usage("the model is too large to be written"))?;
    put(bytes, len);
    Ok(())
}

fn put_node(bytes: &mut Vec<u8>, node: &RawNode) -> Result<()> {
    match node {
        RawNode::Leaf { value, cover } => {
            bytes.push(LEAF);
            put(bytes, value.to_bits());
            put(bytes, cover.to_bits());
        }
        RawNode::Split { feature, test, missing_left, gain, cover, .. } => {
            let categories = matches!(test, Test::Among(_));
            bytes.push(SPLIT + u8::from(!missing_left) + 2 * u8::from(categories));
            put(bytes, *feature);
            put(bytes, gain.to_bits());
            put(bytes, cover.to_bits());
            match test {
                Test::Below(threshold) => put(bytes, threshold.to_bits()),
                Test::Among(codes) => {
                    put_len(bytes, codes.len())?;
                    codes.iter().for_each(|code| put(bytes, *code));
                }
            }
        }
    }
    Ok(())
}

/// Bytes that are still to be read.
struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(len).ok_or_else(cut_off)?;
        self.left = left;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32> {
        let (taken, left) = self.left.split_first_chunk::<4>().ok_or_else(cut_off)?;
        self.left = left;
        Ok(u32::from_le_bytes(*taken))
    }

    fn float(&mut self) -> Result<f32> {
        Ok(f32::from_bits(self.number()?))
    }

    fn node(&mut self, next_child: &mut usize) -> Result<RawNode> {
        let kind = self.take(1)?.first().copied().unwrap_or(LEAF);
        if kind == LEAF {
            return Ok(RawNode::Leaf { value: self.float()?, cover: self.float()? });
        }
        let flags = kind - SPLIT;
        if flags > 3 {
            return Err(Error::data(format!("the model has a node of kind {kind}")));
        }
        let (feature, gain, cover) = (self.number()?, self.float()?, self.float()?);
        let test = if flags & 2 == 0 { Test::Below(self.float()?) } else { Test::Among(self.codes()?) };
        let left = *next_child;
        *next_child += 2;
        Ok(RawNode::Split { feature, test, missing_left: flags & 1 == 0, left, right: left + 1, gain, cover })
    }

    fn codes(&mut self) -> Result<Vec<u32>> {
        let len = self.number()? as usize;
        let bytes = self.take(len.checked_mul(4).ok_or_else(cut_off)?)?;
        let mut codes = Reader { left: bytes };
        (0..len).map(|_| codes.number()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::calibrate::CalibrationKind;
    use crate::params::Params;
    use crate::testing::{Planted, planted};
    use crate::trainer::learner;

    static MODEL: LazyLock<Model> = LazyLock::new(|| {
        let table = planted(&Planted { rows: 600, ..Planted::default() });
        let params = Params {
            rounds: 12,
            depth: 4,
            validation_share: 0.3,
            calibration: CalibrationKind::Isotonic,
            ..Params::default()
        };
        let mut model = learner("gradient_boosting").unwrap().fit(&table, &params).unwrap();
        model.stamp(&fyke_types::ManualClock::new(1_000_000), Some("SELECT 1"));
        model.set_metrics([("roc_auc".to_owned(), 0.1 + 0.2), ("none".to_owned(), f64::NAN)].into());
        model.set_threshold(100.0 / 3.0).unwrap();
        model
    });
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| MODEL.to_bytes().unwrap());

    /// The bytes with a checksum that fits, so that the parser behind it is reached.
    fn signed(mut body: Vec<u8>) -> Vec<u8> {
        body.truncate(body.len().saturating_sub(8));
        let checksum = hash_bytes(&body).finish();
        body.extend_from_slice(&checksum.to_le_bytes());
        body
    }

    #[test]
    fn model_comes_back_equal_and_scores_the_same_bits() {
        let again = Model::from_bytes(&BYTES).unwrap();
        assert_eq!(again, *MODEL);
        assert_eq!(again.to_bytes().unwrap(), *BYTES);
        let rows = planted(&Planted { rows: 500, seed: 9, ..Planted::default() });
        let bits = |model: &Model| model.scores(rows.rows()).into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(&again), bits(&MODEL));
    }

    #[test]
    fn foreign_and_newer_bytes_say_what_they_are() {
        assert!(Model::from_bytes(b"PK\x03\x04").unwrap_err().message().contains("no model"));
        assert!(Model::from_bytes(b"FYKEMODL").is_err());
        let mut newer = BYTES.clone();
        newer[8] = 2;
        assert!(Model::from_bytes(&newer).unwrap_err().message().contains("form 2"));
        let mut altered = BYTES.clone();
        altered[100] ^= 1;
        assert!(Model::from_bytes(&altered).unwrap_err().message().contains("checksum"));
    }

    #[test]
    fn every_cut_is_refused() {
        for len in 0..BYTES.len() {
            assert!(Model::from_bytes(&BYTES[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn announced_lengths_allocate_nothing_that_is_not_there() {
        let card = u32::from_le_bytes(BYTES[12..16].try_into().unwrap()) as usize;
        for place in [12, 16 + card, 20 + card] {
            let mut bytes = BYTES.clone();
            bytes[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(Model::from_bytes(&signed(bytes)).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn altered_bytes_are_refused(place: prop::sample::Index, flip in 1u8..) {
            let mut bytes = BYTES.clone();
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(Model::from_bytes(&bytes).is_err());
        }

        #[test]
        fn altered_bytes_with_a_fitting_checksum_never_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), in_trees: bool,
        ) {
            let mut bytes = BYTES.clone();
            let card = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
            let start = if in_trees { 16 + card } else { 0 };
            for (place, value) in changes {
                let place = start + place.index(bytes.len() - start);
                bytes[place] = value;
            }
            if let Ok(model) = Model::from_bytes(&signed(bytes)) {
                let rows = planted(&Planted { rows: 20, ..Planted::default() });
                let scores = model.scores(rows.rows());
                prop_assert_eq!(scores.len(), 20);
                let _ = (model.contributions(rows.rows().row(0).unwrap()), model.importances());
            }
        }

        #[test]
        fn any_bytes_behind_the_magic_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut all = MAGIC.to_vec();
            all.extend(FORM.to_le_bytes());
            all.extend(bytes);
            all.extend([0; 8]);
            prop_assert!(Model::from_bytes(&signed(all)).is_err());
        }
    }
}
