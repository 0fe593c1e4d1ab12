//! The benchmark runs: what it prints and writes, not how fast anything is.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bugle-bench")).args(arguments).output().unwrap()
}

fn run(directory: &Path, case: &str) -> Value {
    let json = directory.join("results.json");
    let (json, plots) = (json.to_str().unwrap(), directory.join("plots"));
    let output = bench(&[
        "--quick",
        "--seconds",
        "0.02",
        "--case",
        case,
        "--json",
        json,
        "--plots",
        plots.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains(&format!("| {case} |")), "{table}");
    assert_eq!(plots.join("throughput.svg").exists(), case.starts_with("memory"));
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

#[test]
fn a_case_is_measured_and_written_down() {
    let directory = tempfile::tempdir().unwrap();
    for case in ["memory/1/plain/unsigned", "memory/8/tls/signed"] {
        let results = run(directory.path(), case);
        let [result] = results.as_array().unwrap().as_slice() else { panic!("{results}") };
        assert_eq!(result["case"], case);
        assert_eq!(result["rounds"], 5);
        for field in [
            "rps",
            "ceiling_rps",
            "ratio",
            "cpu_us",
            "ceiling_cpu_us",
            "cpu_ratio",
            "lean_rps",
            "lean_ratio",
            "lean_cpu_us",
            "allocations",
            "allocated_bytes",
            "ceiling_allocations",
            "lean_allocations",
            "p50_us",
            "p99_us",
            "emit_p50_us",
            "emit_p99_us",
        ] {
            assert!(result[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {result}");
        }
        assert!(result["kib_per_emitter"].is_null());
    }
}

#[test]
fn instructions_are_counted_or_it_is_said_that_they_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let results = run(directory.path(), "instructions/64");
    let note = results[0]["note"].as_str().unwrap();
    if note.starts_with("counted by ") {
        let of = |field: &str| results[0][field].as_f64().unwrap();
        assert!(of("instructions") > of("lean_instructions"), "{results}");
        assert!(of("ceiling_instructions") > of("lean_instructions"), "{results}");
        assert!(of("lean_instructions") > 100.0, "{results}");
    } else {
        assert!(note.starts_with("not counted here"), "{note}");
        assert!(results[0]["instructions"].is_null(), "{results}");
    }
}

#[test]
fn the_cases_are_listed_without_being_measured() {
    let output = bench(&["--list", "--case", "memory/64"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    let cases: Vec<&str> = listed.lines().collect();
    assert_eq!(
        cases,
        [
            "memory/64/plain/unsigned",
            "memory/64/plain/signed",
            "memory/64/tls/unsigned",
            "memory/64/tls/signed",
        ]
    );
}

#[test]
fn an_unknown_case_is_an_error() {
    let output = bench(&["--case", "disk/64"]);
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("disk/64") && error.contains("--list"), "{error}");
}

#[test]
fn the_store_on_disk_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (json, plots, stores) = (path("results.json"), path("plots"), path("stores"));
    let mut arguments = vec!["--quick", "--seconds", "0.02", "--rounds", "1"];
    arguments.extend(["--pending", "2000", "--history", "2000", "--attempts", "11000"]);
    arguments.extend(["--json", &json, "--plots", &plots, "--directory", &stores]);
    for case in ["durable/64", "accept/64", "recovery", "history", "page"] {
        arguments.extend(["--case", case]);
    }
    let output = bench(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let results = results.as_array().unwrap();
    let fields: [&[&str]; 5] = [
        &["rps", "ceiling_rps", "memory_rps", "ratio", "memory_ratio", "sync_us", "cpu_us"],
        &[
            "sync_us",
            "lone_us",
            "lone_syncs",
            "lone_rps",
            "accepted_rps",
            "ratio",
            "cpu_us",
            "frames_ratio",
        ],
        &["events", "open_ms", "first_ms", "resident_mib", "disk_bytes"],
        &["events", "empty_rps", "history_rps", "ratio", "disk_bytes"],
        &["attempts", "page_us", "page_few_us", "ratio"],
    ];
    assert_eq!(results.len(), fields.len());
    for (result, fields) in results.iter().zip(fields) {
        for field in fields {
            assert!(result[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {result}");
        }
        assert!(!result["checks"].as_array().unwrap().is_empty(), "{result}");
    }
    // The stores on the disk are gone.
    assert_eq!(std::fs::read_dir(stores).unwrap().count(), 0);
}
