//! Gradient-boosted trees for two classes, grown by `hessboost` (XGBoost's algorithm in Rust).
//!
//! The only file that trains with it; `ubj` is the only other that knows it. Models outlive both: they are our own
//! arrays, or XGBoost's format.

use hessboost::config::{TrainingParams, TreeMethod};
use hessboost::data::{DMatrix, FeatureType};
use hessboost::error::HessboostError;
use hessboost::metric::EvalMetric;
use hessboost::model::BoostedModel;
use hessboost::objective::{Objective, RegLoss};
use hessboost::training::Trainer;
use hessboost::tree::RegTree;

use fyke_types::{Error, Result};

use crate::features::FeatureTable;
use crate::params::CheckedParams;
use crate::raw_tree::{RawNode, Test};
use crate::signature::FeatureKind;
use crate::trainer::Learner;
use crate::trees::Forest;

/// Gradient boosting with XGBoost's second-order objective (Chen, Guestrin 2016), logistic loss, histograms.
#[derive(Debug, Clone, Copy, Default)]
pub struct GradientBoosting;

impl Learner for GradientBoosting {
    fn name(&self) -> &'static str {
        "gradient_boosting"
    }

    fn grow(&self, train: &FeatureTable, validation: Option<&FeatureTable>, params: &CheckedParams) -> Result<Forest> {
        forest_of(&boost(train, validation, params)?, None)
    }
}

fn boost(train: &FeatureTable, validation: Option<&FeatureTable>, params: &CheckedParams) -> Result<BoostedModel> {
    let training = training_params(train, params)?;
    let train = matrix(train)?;
    let held_back = validation.map(matrix).transpose()?;
    let mut trainer = Trainer::new(&training, &train, params.values().rounds);
    if let (Some(held_back), Some(patience)) = (&held_back, params.early_stopping()) {
        trainer = trainer.eval(held_back, "validation").early_stopping_rounds(patience);
    }
    Ok(trainer.train().map_err(refused)?.model)
}

fn training_params(train: &FeatureTable, params: &CheckedParams) -> Result<TrainingParams> {
    let values = params.values();
    let weight = if values.balanced { balancing_weight(train)? } else { values.scale_pos_weight };
    let loss = RegLoss::new(weight).map_err(refused)?;
    TrainingParams::builder()
        .objective(Objective::BinaryLogistic(loss))
        .eval_metric(EvalMetric::LogLoss)
        .tree_method(TreeMethod::Hist)
        .max_depth(values.depth)
        .max_bin(values.bins)
        .eta(values.learning_rate)
        .min_child_weight(values.min_child_weight)
        .lambda(values.l2)
        .subsample(values.subsample)
        .colsample_bytree(values.column_sample)
        .seed(values.seed)
        .nthread(params.threads().get())
        .build()
        .map_err(refused)
}

/// Weight of all negatives by weight of all positives.
fn balancing_weight(train: &FeatureTable) -> Result<f64> {
    let mut sums = [0.0f64; 2];
    for (row, label) in train.labels().iter().enumerate() {
        let weight = train.weights().and_then(|weights| weights.get(row)).copied().unwrap_or(1.0);
        sums[usize::from(*label)] += f64::from(weight);
    }
    let [negatives, positives] = sums;
    if negatives > 0.0 && positives > 0.0 {
        return Ok(negatives / positives);
    }
    Err(Error::data("all rows of one class have weight 0: the classes can't be balanced"))
}

fn matrix(table: &FeatureTable) -> Result<DMatrix> {
    let kinds = table.signature().features().iter().map(|feature| match feature.kind {
        FeatureKind::Number => FeatureType::Numerical,
        FeatureKind::Category => FeatureType::Categorical,
    });
    let labels: Vec<f32> = table.labels().iter().map(|&label| f32::from(u8::from(label))).collect();
    let matrix = DMatrix::from_dense(table.rows().values(), table.len(), table.signature().width())
        .and_then(|matrix| matrix.with_feature_types(&kinds.collect::<Vec<_>>()))
        .and_then(|matrix| matrix.with_labels(&labels));
    match table.weights() {
        Some(weights) => matrix.and_then(|matrix| matrix.with_weights(weights)),
        None => matrix,
    }
    .map_err(refused)
}

pub(crate) fn refused(error: HessboostError) -> Error {
    Error::data("the trees could not be made").detail(error)
}

/// Our arrays of its trees, the best iterations alone; `base` overrides its own base margin.
pub(crate) fn forest_of(model: &BoostedModel, base: Option<f32>) -> Result<Forest> {
    if model.n_outputs() != 1 || model.linear().is_some() || model.shrinkage().is_some() {
        return Err(Error::data("the model is no plain sum of trees for two classes"));
    }
    let trees = match model.best_iteration() {
        Some(best) => (best + 1).saturating_mul(model.trees_per_iteration()),
        None => model.num_trees(),
    };
    let mut forest = Forest::new(model.n_features(), base.unwrap_or(model.base_score()))?;
    for (tree, weight) in model.trees().iter().zip(model.tree_weights()).take(trees) {
        forest.push(&raw_tree(tree, weight)?)?;
    }
    Ok(forest)
}

fn raw_tree(tree: &RegTree, weight: f32) -> Result<Vec<RawNode>> {
    if tree.linear_leaves().is_some() || tree.is_vector_leaf() {
        return Err(Error::data("the model has leaves that are no single numbers"));
    }
    let raw = tree.nodes().iter().enumerate().map(|(place, node)| {
        if node.is_leaf() {
            return RawNode::Leaf { value: node.leaf_value * weight, cover: node.sum_hess };
        }
        let test = if node.is_categorical {
            let mut codes = tree.split_categories(place).to_vec();
            codes.sort_unstable();
            codes.dedup();
            Test::Among(codes)
        } else {
            Test::Below(node.split_cond)
        };
        RawNode::Split {
            feature: node.split_feature,
            test,
            missing_left: node.default_left,
            left: node.left as usize,
            right: node.right as usize,
            gain: node.split_gain,
            cover: node.sum_hess,
        }
    });
    Ok(raw.collect())
}

#[cfg(test)]
mod tests {
    use hessboost::model::Iterations;

    use super::*;
    use crate::features::TableColumns;
    use crate::params::Params;
    use crate::testing::{Planted, planted, planted_batch};

    fn table_of_numbers() -> FeatureTable {
        let batch = planted_batch(&Planted { rows: 1_001, ..Planted::default() });
        let features = ["rate", "errors", "noise0"].map(str::to_owned).to_vec();
        FeatureTable::from_batches(&[batch], &TableColumns { features, ..TableColumns::new("bot") }).unwrap()
    }

    #[test]
    fn own_trees_give_the_trainers_margins_bit_for_bit() {
        let table = planted(&Planted { rows: 3_003, ..Planted::default() });
        let numbers = table_of_numbers();
        for (table, patience) in [(&table, 0), (&table, 3), (&numbers, 0)] {
            let params = Params { rounds: 40, early_stopping_rounds: patience, ..Params::default() }.check().unwrap();
            let held_back = (patience > 0).then_some(table);
            let model = boost(table, held_back, &params).unwrap();
            let forest = forest_of(&model, None).unwrap();
            let theirs = model.predict_margin(&matrix(table).unwrap(), Iterations::Best).unwrap();
            assert_eq!(forest.margins(table.rows()), theirs.as_slice());
            for row in table.rows().iter().take(100) {
                assert_eq!(forest.margin(row), model.predict_margin_row(row, Iterations::Best).unwrap());
            }
        }
    }

    #[test]
    fn early_stopping_keeps_the_best_rounds_alone() {
        let table = planted(&Planted { rows: 1_000, noise: 0.4, ..Planted::default() });
        let split = crate::split::time_split(&table, 0.7).unwrap();
        let params = Params { rounds: 200, early_stopping_rounds: 5, ..Params::default() }.check().unwrap();
        let forest = GradientBoosting.grow(&split.train, Some(&split.test), &params).unwrap();
        assert!((1..150).contains(&forest.trees()), "{}", forest.trees());
    }
}
