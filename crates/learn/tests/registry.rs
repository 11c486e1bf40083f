//! Versions on disk: whole or not at all, never changed, named by number and alias.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/planted.rs"]
mod generated;

use std::fs;

use fyke_learn::{
    CalibrationKind, FeatureTable, GradientBoosting, Learner, Model, Params, Registry, TableColumns, evaluate,
};
use fyke_types::{Kind, ManualClock};
use generated::{Planted, planted_batch, planted_features};
use tempfile::TempDir;

fn table(planted: &Planted) -> FeatureTable {
    let columns =
        TableColumns { features: planted_features(planted), time: Some("time".into()), ..TableColumns::new("bot") };
    FeatureTable::from_batches(&[planted_batch(planted)], &columns).unwrap()
}

fn model(seed: u64) -> Model {
    let table = table(&Planted { rows: 800, seed, ..Planted::default() });
    let params = Params {
        rounds: 20,
        depth: 4,
        validation_share: 0.25,
        calibration: CalibrationKind::Isotonic,
        ..Params::default()
    };
    let mut model = GradientBoosting.fit(&table, &params).unwrap();
    model.set_metrics(evaluate(&model, &table).unwrap().metrics());
    model.set_threshold(61.7).unwrap();
    model.stamp(&ManualClock::new(1_767_323_045_000_006), Some("SELECT * FROM features"));
    model
}

fn registry() -> (TempDir, Registry) {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().join("models")).unwrap();
    (folder, registry)
}

#[test]
fn loaded_model_equals_the_saved_one_bit_for_bit() {
    let (_folder, registry) = registry();
    let saved = model(1);
    assert_eq!(registry.save("detector", &saved).unwrap(), 1);
    let loaded = registry.load("detector").unwrap();
    assert_eq!(loaded, saved);
    let rows = table(&Planted { rows: 500, seed: 8, ..Planted::default() });
    let bits = |model: &Model| model.scores(rows.rows()).into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&loaded), bits(&saved));
    // a model that was shipped inside a binary can be saved too
    let shipped = Model::from_bytes(&saved.to_bytes().unwrap()).unwrap();
    registry.save("shipped", &shipped).unwrap();
    assert_eq!(registry.load("shipped").unwrap(), saved);
}

#[test]
fn folder_is_laid_out_as_mlflow_reads_it() {
    let (folder, registry) = registry();
    registry.save("detector", &model(1)).unwrap();
    let version = folder.path().join("models/detector/1");
    let mut names: Vec<_> =
        fs::read_dir(&version).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["MLmodel", "fyke.json", "model.ubj", "requirements.txt"]);
    let text = fs::read_to_string(version.join("MLmodel")).unwrap();
    assert!(text.contains("utc_time_created: '2026-01-02 03:04:05.000006'"), "{text}");
    assert!(text.contains(r#"{"name":"agent","required":false,"type":"long"}"#), "{text}");
    let card: serde_json::Value = serde_json::from_slice(&fs::read(version.join("fyke.json")).unwrap()).unwrap();
    assert_eq!(card["lineage"]["rows"], 800);
    assert_eq!(card["categories"]["agent"][0], "bot");
    assert!(card["metrics"]["roc_auc"].as_f64().unwrap() > 0.9);
}

#[test]
fn versions_count_up_and_aliases_move() {
    let (_folder, registry) = registry();
    let (first, second) = (model(1), model(2));
    assert_eq!(registry.save("detector", &first).unwrap(), 1);
    assert_eq!(registry.save("detector", &second).unwrap(), 2);
    assert_eq!(registry.save("other", &second).unwrap(), 1);
    registry.set_alias("detector", "champion", 1).unwrap();
    for (reference, version) in
        [("detector", 2), ("detector@latest", 2), ("detector@1", 1), ("detector@2", 2), ("detector@champion", 1)]
    {
        assert_eq!(registry.load_version(reference).unwrap().1, version, "{reference}");
    }
    assert_eq!(registry.load("detector@champion").unwrap(), first);
    registry.set_alias("detector", "champion", 2).unwrap();
    assert_eq!(registry.load("detector@champion").unwrap(), second);
    let listed = registry.list().unwrap();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["detector", "other"]);
    assert_eq!((listed[0].versions.clone(), listed[0].aliases["champion"]), (vec![1, 2], 2));
}

#[test]
fn concurrent_saves_get_different_versions() {
    let (_folder, registry) = registry();
    let model = model(1);
    let mut versions: Vec<u64> = std::thread::scope(|scope| {
        let saves: Vec<_> = (0..6).map(|_| scope.spawn(|| registry.save("detector", &model).unwrap())).collect();
        saves.into_iter().map(|save| save.join().unwrap()).collect()
    });
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    assert_eq!(registry.list().unwrap()[0].versions, versions);
}

#[test]
fn unknown_names_versions_and_aliases_say_what_there_is() {
    let (_folder, registry) = registry();
    assert!(registry.load("detector").unwrap_err().hint_text().unwrap().contains("empty"));
    registry.save("detector", &model(1)).unwrap();
    for (reference, part) in [("detektor", "detector"), ("detector@7", "there are 1"), ("detector@best", "none")] {
        let error = registry.load(reference).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.hint_text().unwrap().contains(part), "{error}");
    }
    for reference in ["", "@1", "../etc", "a/b", ".hidden", "a@", "a@b@c", "a@99999999999999999999999", "a b"] {
        assert_eq!(registry.load(reference).unwrap_err().kind(), Kind::Usage, "{reference}");
    }
    for alias in ["latest", "3", "", "a/b"] {
        assert!(registry.set_alias("detector", alias, 1).is_err(), "{alias}");
    }
    assert!(registry.set_alias("detector", "champion", 9).is_err());
    assert!(registry.save("../detector", &model(1)).is_err());
}

#[test]
fn corrupt_files_are_errors_that_name_the_model() {
    let (folder, registry) = registry();
    registry.save("detector", &model(1)).unwrap();
    let version = folder.path().join("models/detector/1");
    for name in ["model.ubj", "fyke.json"] {
        let path = version.join(name);
        let good = fs::read(&path).unwrap();
        for bad in [Vec::new(), good[..good.len() / 2].to_vec(), b"{\"format\": 9}".to_vec()] {
            fs::write(&path, bad).unwrap();
            let error = registry.load("detector").unwrap_err();
            assert!(error.kind() == Kind::Data && error.message().contains("detector@1"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(registry.load("detector").unwrap_err().to_string().contains("missing"));
        fs::write(&path, good).unwrap();
    }
    registry.load("detector").unwrap();
    fs::write(folder.path().join("models/detector/aliases.json"), "[").unwrap();
    assert!(registry.load("detector@champion").is_err());
}
