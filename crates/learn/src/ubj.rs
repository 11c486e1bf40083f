//! Our trees to and from XGBoost's binary JSON, the format that outlives every crate. `hessboost` reads and writes it.

use fyke_types::{Error, Result};
use hessboost::model::{BoostedModel, ModelFormat};
use serde_json::{Value, json};

use crate::boost::{forest_of, refused};
use crate::calibrate::logistic;
use crate::raw_tree::{RawNode, Test};
use crate::trees::Forest;

/// XGBoost's parent of a root: the greatest 32-bit integer.
const NO_PARENT: i64 = i32::MAX as i64;

/// The bytes of XGBoost's `Booster.save_model("….ubj")`.
pub(crate) fn to_ubj(forest: &Forest) -> Result<Vec<u8>> {
    let document = document(forest).to_string();
    let model = BoostedModel::decode(document, ModelFormat::XgboostJson).map_err(refused)?;
    model.encode(ModelFormat::XgboostUbjson).map_err(refused)
}

/// The trees in the bytes. `base` is the exact base margin, which the format keeps only as a rounded probability.
pub(crate) fn from_ubj(bytes: &[u8], base: f32) -> Result<Forest> {
    let model = BoostedModel::decode(bytes, ModelFormat::XgboostUbjson)
        .map_err(|error| Error::data("the model's trees can't be read").detail(error))?;
    forest_of(&model, Some(base))
}

/// XGBoost's model schema (its documentation: "Introduction to Model IO", JSON schema).
fn document(forest: &Forest) -> Value {
    let trees: Vec<Value> = (0..forest.trees()).map(|id| tree(forest, id)).collect();
    // 0 and 1 have no log odds
    let base = (logistic(f64::from(forest.base())) as f32).clamp(f32::MIN_POSITIVE, 1.0 - f32::EPSILON);
    json!({
        "version": [3, 0, 0],
        "learner": {
            "attributes": {}, "feature_names": [], "feature_types": [],
            "gradient_booster": { "name": "gbtree", "model": {
                "gbtree_model_param": { "num_parallel_tree": "1", "num_trees": trees.len().to_string() },
                "iteration_indptr": (0..=trees.len()).collect::<Vec<_>>(),
                "tree_info": vec![0; trees.len()],
                "trees": trees,
            }},
            "learner_model_param": {
                "base_score": format!("[{base}]"), "boost_from_average": "0", "num_class": "0",
                "num_feature": forest.width().to_string(), "num_target": "1",
            },
            "objective": { "name": "binary:logistic", "reg_loss_param": { "scale_pos_weight": "1" } },
        },
    })
}

/// One tree as parallel arrays.
#[derive(Default)]
struct Arrays {
    left: Vec<i64>,
    right: Vec<i64>,
    parents: Vec<i64>,
    features: Vec<u32>,
    conditions: Vec<f32>,
    missing_left: Vec<u8>,
    weights: Vec<f32>,
    gains: Vec<f32>,
    covers: Vec<f32>,
    kinds: Vec<u8>,
    codes: Vec<u32>,
    code_nodes: Vec<usize>,
    code_starts: Vec<usize>,
    code_counts: Vec<usize>,
}

impl Arrays {
    fn push(&mut self, left: i64, right: i64, condition: f32, weight: f32, (gain, cover): (f32, f32)) {
        self.left.push(left);
        self.right.push(right);
        self.conditions.push(condition);
        self.weights.push(weight);
        self.gains.push(gain);
        self.covers.push(cover);
    }

    fn push_node(&mut self, place: usize, node: &RawNode) {
        match node {
            RawNode::Leaf { value, cover } => {
                self.push(-1, -1, *value, *value, (0.0, *cover));
                self.features.push(0);
                self.missing_left.push(0);
                self.kinds.push(0);
            }
            RawNode::Split { feature, test, missing_left, left, right, gain, cover } => {
                self.features.push(*feature);
                let (left, right) = (*left as i64, *right as i64);
                match test {
                    Test::Below(threshold) => {
                        self.push(left, right, *threshold, 0.0, (*gain, *cover));
                        self.missing_left.push(u8::from(*missing_left));
                        self.kinds.push(0);
                    }
                    Test::Among(codes) => {
                        // XGBoost sends the set to the right child, we to the left
                        self.push(right, left, 0.0, 0.0, (*gain, *cover));
                        self.missing_left.push(u8::from(!*missing_left));
                        self.kinds.push(1);
                        self.code_nodes.push(place);
                        self.code_starts.push(self.codes.len());
                        self.code_counts.push(codes.len());
                        self.codes.extend(codes);
                    }
                }
            }
        }
    }

    fn set_parents(&mut self) {
        self.parents = vec![NO_PARENT; self.left.len()];
        for (place, children) in self.left.iter().zip(&self.right).enumerate() {
            for child in [*children.0, *children.1] {
                if let Some(parent) = usize::try_from(child).ok().and_then(|child| self.parents.get_mut(child)) {
                    *parent = place as i64;
                }
            }
        }
    }
}

fn tree(forest: &Forest, id: usize) -> Value {
    let mut arrays = Arrays::default();
    for (place, node) in forest.raw_tree(id).iter().enumerate() {
        arrays.push_node(place, node);
    }
    arrays.set_parents();
    json!({
        "id": id,
        "tree_param": {
            "num_deleted": "0", "num_feature": forest.width().to_string(),
            "num_nodes": arrays.left.len().to_string(), "size_leaf_vector": "0",
        },
        "left_children": arrays.left, "right_children": arrays.right, "parents": arrays.parents,
        "split_indices": arrays.features, "split_conditions": arrays.conditions, "default_left": arrays.missing_left,
        "base_weights": arrays.weights, "loss_changes": arrays.gains, "sum_hessian": arrays.covers,
        "split_type": arrays.kinds, "categories": arrays.codes, "categories_nodes": arrays.code_nodes,
        "categories_segments": arrays.code_starts, "categories_sizes": arrays.code_counts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::tests::small;

    #[test]
    fn trees_with_numbers_categories_and_missing_come_back_equal() {
        let forest = small();
        let bytes = to_ubj(&forest).unwrap();
        assert_eq!(ModelFormat::detect(&bytes), Some(ModelFormat::XgboostUbjson));
        assert_eq!(from_ubj(&bytes, forest.base()).unwrap(), forest);
    }

    #[test]
    fn extreme_base_margins_can_be_written() {
        for base in [-300.0, -20.0, 20.0, 300.0] {
            let forest = Forest::new(1, base).unwrap();
            assert_eq!(from_ubj(&to_ubj(&forest).unwrap(), base).unwrap(), forest, "{base}");
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for bytes in [&b""[..], b"{", b"not a model", &[0xff; 64]] {
            assert!(from_ubj(bytes, 0.0).is_err());
        }
    }
}
