//! From batches to scores and reasons, through the public interface alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/planted.rs"]
mod generated;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use fyke_learn::{
    Calibration, CalibrationKind, FeatureTable, GradientBoosting, Learner, Model, Params, TableColumns, evaluate,
    learner, time_split,
};
use generated::{Planted, planted_batch, planted_features};
use proptest::prelude::*;

fn columns(planted: &Planted) -> TableColumns {
    TableColumns { features: planted_features(planted), time: Some("time".into()), ..TableColumns::new("bot") }
}

fn table(planted: &Planted) -> FeatureTable {
    FeatureTable::from_batches(&[planted_batch(planted)], &columns(planted)).unwrap()
}

fn quick() -> Params {
    Params { rounds: 60, depth: 4, ..Params::default() }
}

fn fitted() -> (Model, FeatureTable) {
    let split = time_split(&table(&Planted::default()), 0.7).unwrap();
    (GradientBoosting.fit(&split.train, &quick()).unwrap(), split.test)
}

#[test]
fn planted_rule_is_learnt_with_missing_values_categories_and_a_constant() {
    let (model, test) = fitted();
    let judged = evaluate(&model, &test).unwrap();
    assert!(judged.roc_auc.unwrap() > 0.95 && judged.pr_auc.unwrap() > 0.95, "{judged:?}");
    assert!(judged.f1.unwrap() > 0.9 && judged.log_loss.unwrap() < 0.25, "{judged:?}");
    let importances = model.importances();
    assert!(importances.iter().all(|(name, _)| *name != "constant"), "{importances:?}");
    assert!(importances[..3].iter().all(|(name, _)| ["rate", "errors", "agent"].contains(name)), "{importances:?}");
    assert!((importances.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    let text = model.describe().to_string();
    assert!(text.contains("60 trees") && text.contains("agent"), "{text}");
}

#[test]
fn unseen_categories_and_infinities_read_as_missing() {
    let (model, _) = fitted();
    let row = |rate: f64, agent: Option<&str>| {
        let middle: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
        let mut columns = vec![middle; model.signature().width()];
        columns[0] = Arc::new(Float64Array::from(vec![rate]));
        columns[2] = Arc::new(StringArray::from(vec![agent]));
        model.score_columns(&columns).unwrap().value(0)
    };
    assert_eq!(row(0.5, Some("netscape")), row(0.5, None));
    assert_eq!(row(f64::INFINITY, Some("curl")), row(f64::NAN, Some("curl")));
    assert!(row(0.9, Some("curl")) > 90.0 && row(0.1, Some("safari")) < 10.0);
}

#[test]
fn same_seed_and_data_give_the_same_bytes_on_one_thread_and_two() {
    let table = table(&Planted { rows: 1_500, ..Planted::default() });
    let params = Params { subsample: 0.7, column_sample: 0.7, seed: 5, ..quick() };
    let fit = |params: &Params| GradientBoosting.fit(&table, params).unwrap();
    let first = fit(&params);
    assert_eq!(first.to_bytes().unwrap(), fit(&params).to_bytes().unwrap());
    assert_eq!(first.forest(), fit(&Params { threads: 1, ..params.clone() }).forest());
    assert_ne!(first.forest(), fit(&Params { seed: 6, ..params }).forest());
}

#[test]
fn one_class_is_refused_with_the_count() {
    let batch = planted_batch(&Planted { rows: 50, ..Planted::default() });
    for class in [true, false] {
        let label: ArrayRef = Arc::new(BooleanArray::from(vec![class; 50]));
        let one = RecordBatch::try_from_iter([("rate", batch.column_by_name("rate").unwrap().clone()), ("bot", label)]);
        let table = FeatureTable::from_batches(&[one.unwrap()], &TableColumns::new("bot")).unwrap();
        let error = GradientBoosting.fit(&table, &quick()).unwrap_err();
        assert!(error.message().contains("all 50 rows"), "{error}");
    }
    let empty = table(&Planted { rows: 0, ..Planted::default() });
    assert!(GradientBoosting.fit(&empty, &quick()).unwrap_err().message().contains("no rows"));
}

#[test]
fn constant_features_alone_give_the_base_rate() {
    let batch = planted_batch(&Planted { rows: 400, ..Planted::default() });
    let columns = TableColumns { features: vec!["constant".into()], ..TableColumns::new("bot") };
    let table = FeatureTable::from_batches(&[batch], &columns).unwrap();
    let model = GradientBoosting.fit(&table, &quick()).unwrap();
    let share = table.positives() as f64 / table.len() as f64;
    let probabilities = model.probabilities(table.rows());
    assert!(
        probabilities.iter().all(|probability| (probability - share).abs() < 0.01),
        "{share} {:?}",
        probabilities[0]
    );
    assert!(model.importances().is_empty());
}

#[test]
fn class_weights_raise_the_rarer_class() {
    let full = table(&Planted { rows: 4_000, noise: 0.2, ..Planted::default() });
    // one in eight bots stays
    let kept: Vec<usize> = (0..full.len()).filter(|&row| !full.labels()[row] || row % 8 == 0).collect();
    let rare = full.select(&kept);
    let share = rare.positives() as f64 / rare.len() as f64;
    assert!(share < 0.25);
    let mean = |params: &Params| {
        let model = GradientBoosting.fit(&rare, &Params { depth: 3, ..params.clone() }).unwrap();
        model.probabilities(rare.rows()).iter().sum::<f64>() / rare.len() as f64
    };
    let plain = mean(&quick());
    assert!((plain - share).abs() < 0.02, "{plain} {share}");
    assert!(mean(&Params { scale_pos_weight: 5.0, ..quick() }) > plain + 0.05);
    assert!(mean(&Params { balanced: true, ..quick() }) > plain + 0.05);
}

#[test]
fn rows_of_weight_zero_teach_nothing() {
    let planted = Planted { rows: 1_000, ..Planted::default() };
    let batch = planted_batch(&planted);
    let weighted = |batch: &RecordBatch, weight: f64| {
        let weights: ArrayRef = Arc::new(Float64Array::from(vec![weight; batch.num_rows()]));
        let schema = batch.schema();
        let columns = schema.fields().iter().map(|f| f.name().clone()).zip(batch.columns().iter().cloned());
        RecordBatch::try_from_iter_with_nullable(
            columns.chain([("weight".to_owned(), weights)]).map(|(name, column)| (name, column, true)),
        )
        .unwrap()
    };
    let columns = TableColumns { weight: Some("weight".into()), ..columns(&planted) };
    let misleading = planted_batch(&Planted { noise: 1.0, seed: 2, ..planted.clone() });
    let fit = |batches: &[RecordBatch]| {
        let table = FeatureTable::from_batches(batches, &columns).unwrap();
        GradientBoosting.fit(&table, &quick()).unwrap()
    };
    let model = fit(&[weighted(&batch, 1.0), weighted(&misleading, 0.0)]);
    let test = planted_batch(&Planted { seed: 3, ..planted.clone() });
    let test = FeatureTable::with_encoder(Arc::clone(model.encoder()), &[weighted(&test, 1.0)], &columns).unwrap();
    assert!(evaluate(&model, &test).unwrap().roc_auc.unwrap() > 0.95);
}

#[test]
fn calibration_makes_the_probabilities_of_a_weighted_model_true() {
    let table = table(&Planted { rows: 6_000, noise: 0.1, ..Planted::default() });
    let split = time_split(&table, 0.7).unwrap();
    let loss = |calibration| {
        let weighted = Params { scale_pos_weight: 20.0, validation_share: 0.3, calibration, ..quick() };
        let model = GradientBoosting.fit(&split.train, &weighted).unwrap();
        let judged = evaluate(&model, &split.test).unwrap();
        (judged.log_loss.unwrap(), judged.roc_auc.unwrap(), model)
    };
    let (raw, raw_auc, _) = loss(CalibrationKind::None);
    for kind in [CalibrationKind::Platt, CalibrationKind::Isotonic] {
        let (calibrated, auc, model) = loss(kind);
        assert!(calibrated < raw - 0.05, "{kind:?}: {calibrated} against {raw}");
        // strictly increasing maps change no ranking
        assert!((auc - raw_auc).abs() < 1e-12);
        assert_ne!(*model.calibration(), Calibration::None);
    }
}

#[test]
fn parameters_that_need_held_back_rows_say_so() {
    let table = table(&Planted { rows: 300, ..Planted::default() });
    for params in
        [Params { early_stopping_rounds: 5, ..quick() }, Params { calibration: CalibrationKind::Platt, ..quick() }]
    {
        let error = GradientBoosting.fit(&table, &params).unwrap_err();
        assert!(error.hint_text().is_some_and(|hint| hint.contains("validation_share")), "{error}");
    }
    assert!(learner("magic").unwrap_err().to_string().contains("gradient_boosting"));
}

#[test]
fn contributions_add_up_to_the_margin() {
    let (model, test) = fitted();
    for row in test.rows().iter().take(300) {
        let told = model.contributions(row);
        let margin = f64::from(model.forest().margin(row));
        assert!((told.margin() - margin).abs() < 1e-5 * (1.0 + margin.abs()), "{} {margin}", told.margin());
    }
}

#[test]
fn drops_are_what_scoring_the_replaced_row_gives() {
    let (model, test) = fitted();
    let baselines = test.averages();
    let mut moved = 0;
    for row in test.rows().iter().take(200) {
        let drops = model.counterfactual_drops(row, &baselines);
        for (feature, (&baseline, &drop)) in baselines.iter().zip(&drops).enumerate() {
            if baseline.is_nan() {
                assert_eq!(drop, 0.0);
                continue;
            }
            let mut replaced = row.to_vec();
            replaced[feature] = baseline as f32;
            assert_eq!(drop, model.score_row(row) - model.score_row(&replaced));
            assert_eq!(drop, -model.delta_if(row, feature, baseline));
            moved += usize::from(drop != 0.0);
        }
    }
    assert!(moved > 200);
}

#[test]
fn cited_feature_replaced_by_its_average_lowers_the_score() {
    let (model, test) = fitted();
    let baselines = test.averages();
    let mut cited = 0;
    for row in test.rows().iter() {
        let reasons = model.reasons(row, &baselines, 3);
        assert!(reasons.len() <= 3 && reasons.is_sorted_by(|a, b| a.drop >= b.drop));
        for reason in reasons {
            let mut replaced = row.to_vec();
            replaced[reason.feature] = reason.baseline as f32;
            assert!(model.score_row(&replaced) < model.score_row(row));
            cited += 1;
        }
    }
    assert!(cited > 300, "{cited}");
}

#[test]
fn batches_columns_and_rows_score_the_same_bits() {
    let (model, _) = fitted();
    let batch = planted_batch(&Planted { rows: 77, seed: 3, ..Planted::default() });
    let scores = model.score_batch(&batch).unwrap();
    assert_eq!(scores.null_count(), 0);
    let rows = model.encode_batch(&batch).unwrap();
    for (row, score) in rows.iter().zip(scores.values()) {
        assert_eq!(model.score_row(row).to_bits(), score.to_bits());
    }
    let pieces: Vec<f64> =
        (0..77).flat_map(|i| model.score_batch(&batch.slice(i, 1)).unwrap().values().to_vec()).collect();
    assert_eq!(pieces, scores.values().to_vec());
}

#[test]
fn table_of_another_encoding_is_not_judged() {
    let (model, _) = fitted();
    let other = Planted { rows: 100, useless: 1, ..Planted::default() };
    assert!(evaluate(&model, &table(&other)).is_err());
    let batch = planted_batch(&Planted { rows: 100, seed: 4, ..Planted::default() });
    let encoder = Arc::clone(model.encoder());
    let same = FeatureTable::with_encoder(encoder, &[batch], &TableColumns::new("bot")).unwrap();
    assert!(evaluate(&model, &same).unwrap().roc_auc.unwrap() > 0.9);
}

/// A number as logs may hold it: missing, huge, tiny, infinite.
fn odd_number() -> impl Strategy<Value = Option<f64>> {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, 3.4e38, -3.4e38, 1e-45, 1e300, 16_777_217.0];
    prop_oneof![Just(None), prop::sample::select(odd.to_vec()).prop_map(Some), (-5.0..5.0f64).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn odd_tables_are_learnt_from_or_refused(
        rows in prop::collection::vec((odd_number(), prop::option::of(0u8..5), 0u8..3, any::<bool>()), 0..40),
        subsample in 0.01..1.0f64, bins in 2usize..300, depth in 1usize..16, balanced: bool, calibrated: bool,
    ) {
        let number = Float64Array::from_iter(rows.iter().map(|row| row.0));
        let text = StringArray::from_iter(rows.iter().map(|row| row.1.map(|code| format!("text {code}"))));
        let weight = Float64Array::from_iter_values(rows.iter().map(|row| f64::from(row.2)));
        let label = BooleanArray::from_iter(rows.iter().map(|row| Some(row.3)));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("number", Arc::new(number) as ArrayRef, true),
            ("text", Arc::new(text) as ArrayRef, true),
            ("weight", Arc::new(weight) as ArrayRef, true),
            ("label", Arc::new(label) as ArrayRef, true),
        ]).unwrap();
        let columns = TableColumns {
            features: vec!["number".into(), "text".into()],
            weight: Some("weight".into()),
            ..TableColumns::new("label")
        };
        let table = FeatureTable::from_batches(&[batch], &columns).unwrap();
        let mut params = Params { rounds: 5, subsample, column_sample: subsample, bins, depth, balanced, ..Params::default() };
        if calibrated {
            params = Params { validation_share: 0.4, calibration: CalibrationKind::Isotonic, early_stopping_rounds: 2, ..params };
        }
        if let Ok(model) = GradientBoosting.fit(&table, &params) {
            let scores = model.scores(table.rows());
            prop_assert!(scores.iter().all(|score| (0.0..=100.0).contains(score)), "{:?}", scores);
            for row in table.rows().iter() {
                let (told, margin) = (model.contributions(row).margin(), f64::from(model.forest().margin(row)));
                prop_assert!((told - margin).abs() < 1e-4 * (1.0 + margin.abs()));
            }
            prop_assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
        }
    }
}
