//! What we save, Python's XGBoost loads, and gives the same margins. Needs an interpreter that has `xgboost`:
//! `FYKE_PYTHON=/path/to/python cargo test -p fyke-learn --test xgboost`; without it the test says so and ends.

#[path = "common/planted.rs"]
mod generated;

use std::fmt::Write;
use std::process::Command;

use fyke_learn::{FeatureTable, GradientBoosting, Learner, Params, Registry, TableColumns};
use generated::{Planted, planted_batch, planted_features};

const SCRIPT: &str = "
import sys, numpy, xgboost
booster = xgboost.Booster(model_file=sys.argv[1])
rows = numpy.loadtxt(sys.argv[2], delimiter=',', dtype=numpy.float32)
kinds = sys.argv[3].split(',')
data = xgboost.DMatrix(rows, feature_types=kinds, enable_categorical=True)
for margin in booster.predict(data, output_margin=True, validate_features=False):
    print(repr(float(margin)))
";

#[test]
fn python_xgboost_gives_the_same_margins_for_saved_models() {
    let Ok(python) = std::env::var("FYKE_PYTHON") else {
        println!("skipped: FYKE_PYTHON names no interpreter with xgboost");
        return;
    };
    let planted = Planted { rows: 2_000, ..Planted::default() };
    let columns = TableColumns { features: planted_features(&planted), ..TableColumns::new("bot") };
    let table = FeatureTable::from_batches(&[planted_batch(&planted)], &columns).unwrap();
    let model = GradientBoosting.fit(&table, &Params { rounds: 80, ..Params::default() }).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    Registry::open(folder.path()).unwrap().save("detector", &model).unwrap();

    let mut rows = String::new();
    for row in table.rows().iter() {
        let texts: Vec<String> =
            row.iter().map(|value| if value.is_nan() { "nan".into() } else { value.to_string() }).collect();
        writeln!(rows, "{}", texts.join(",")).unwrap();
    }
    let rows_path = folder.path().join("rows.csv");
    std::fs::write(&rows_path, rows).unwrap();
    let output = Command::new(python)
        .args(["-c", SCRIPT])
        .args([folder.path().join("detector/1/model.ubj"), rows_path])
        .arg("q,q,c,q,q,q")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<f32> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    let ours = model.margins(table.rows());
    assert_eq!(theirs.len(), ours.len());
    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference {worst:e}");
    // the file keeps the base margin as a rounded probability
    assert!(worst < 1e-5, "{worst}");
}
