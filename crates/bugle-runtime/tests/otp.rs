//! The control calls, as they were observed on the original, and against a model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use bugle_runtime::{AttachError, RestartError, Runtime, RuntimeEvent, Status};
use common::{config, generous, runtime, until, wait};
use serde_json::Value;

fn word(result: &Result<(), AttachError>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(AttachError::AlreadyExists(_)) => "already_exists",
        Err(AttachError::AlreadyPresent(_)) => "already_present",
        Err(other) => panic!("{other}"),
    }
}

fn restart_word(result: &Result<(), RestartError>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(RestartError::Running(_)) => "running",
        Err(RestartError::Restarting(_)) => "restarting",
        Err(RestartError::NotFound(_)) => "not_found",
        Err(other) => panic!("{other}"),
    }
}

async fn replay(runtime: &Runtime, step: &[Value]) {
    let id = step[1].as_str().unwrap_or_default();
    let expected = step.last().unwrap();
    match step[0].as_str().unwrap() {
        "attach" => {
            let result = runtime.attach(id, "a.b", config()).await;
            assert_eq!(word(&result), expected, "{step:?}");
        }
        "restart" => {
            let result = runtime.restart(id).await;
            assert_eq!(restart_word(&result), expected, "{step:?}");
        }
        "pause" => {
            runtime.pause(id).await.unwrap();
            assert_eq!(expected, "ok");
        }
        "detach" => {
            runtime.detach(id).await.unwrap();
            assert_eq!(expected, "ok");
        }
        "is_started" => assert_eq!(&Value::from(runtime.is_started(id)), expected, "{step:?}"),
        "list_emitters" => {
            let ids: Vec<String> =
                runtime.list_emitters().iter().map(ToString::to_string).collect();
            assert_eq!(&Value::from(ids), expected, "{step:?}");
        }
        "crash" => {
            let mut watch = runtime.watch();
            runtime.inject_crash(id, "as scripted").unwrap();
            wait(&mut watch, |event| matches!(event, RuntimeEvent::Crashed { .. })).await;
        }
        "wait_started" => {
            let mut watch = runtime.watch();
            until(&mut watch, || runtime.is_started(id)).await;
        }
        other => panic!("unknown step {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_case_observed_on_the_original() {
    let facts: Value = serde_json::from_str(include_str!("data/otp.json")).unwrap();
    let cases = facts["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let runtime = runtime().await;
        for step in case["script"].as_array().unwrap() {
            replay(&runtime, step.as_array().unwrap()).await;
        }
        runtime.shutdown(Duration::ZERO).await;
    }
}

/// While an emitter waits to be restarted after a crash, it is neither started nor listed.
#[tokio::test(start_paused = true)]
async fn calls_while_restarting_after_a_crash() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    runtime.attach("a", "a.b", config()).await.unwrap();
    runtime.inject_crash("a", "as scripted").unwrap();
    wait(&mut watch, |event| matches!(event, RuntimeEvent::Crashed { .. })).await;
    assert_eq!(runtime.describe("a").unwrap().status, Status::Restarting);
    assert!(!runtime.is_started("a"));
    assert!(runtime.list_emitters().is_empty());
    assert!(matches!(
        runtime.attach("a", "a.b", config()).await,
        Err(AttachError::AlreadyExists(_))
    ));
    assert!(matches!(runtime.restart("a").await, Err(RestartError::Restarting(_))));
    runtime.pause("a").await.unwrap();
    assert_eq!(runtime.describe("a").unwrap().status, Status::Paused);
    // The restart that was due does not bring a paused emitter back.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(runtime.describe("a").unwrap().status, Status::Paused);
    runtime.restart("a").await.unwrap();
    assert!(runtime.is_started("a"));
}

/// An emitter as the model has it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Is {
    Running,
    Paused,
    Failed,
}

/// A small random source, so that a failure is found again by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The same operations in random order against a model, with crashes injected: ten thousand
/// steps, no difference.
async fn against_a_model(seed: u64, budget: Option<u32>) {
    let builder = common::builder().restart_budget(match budget {
        None => generous(),
        // Within an hour of virtual time, which no run takes: crashes add up.
        Some(restarts) => {
            bugle_core::RestartBudget::new(restarts, Duration::from_secs(3600 * 24 * 365))
        }
    });
    let runtime = builder.start().await.unwrap();
    let mut watch = runtime.watch();
    let mut model: BTreeMap<String, (Is, u32)> = BTreeMap::new();
    let mut dice = Dice(seed);
    for step in 0..10_000 {
        let id = format!("e{}", dice.roll(6));
        let now = model.get(&id).copied();
        let context = format!("seed {seed} step {step} id {id} model {now:?}");
        match dice.roll(7) {
            5 => {
                let name = if dice.roll(2) == 0 { "a.b" } else { "a.*" };
                runtime.ensure(&id, [name], config()).await.unwrap();
                let described = runtime.describe(&id).unwrap();
                assert_eq!(described.subscription.to_string(), name, "{context}");
                model.entry(id).or_insert((Is::Running, 0));
            }
            0 => {
                let result = runtime.attach(&id, "a.b", config()).await;
                let expected = match now.map(|(is, _)| is) {
                    None => "ok",
                    Some(Is::Running) => "already_exists",
                    Some(Is::Paused | Is::Failed) => "already_present",
                };
                assert_eq!(word(&result), expected, "{context}");
                model.entry(id).or_insert((Is::Running, 0));
            }
            1 => {
                runtime.pause(&id).await.unwrap();
                if let Some((is, _)) = model.get_mut(&id) {
                    *is = Is::Paused;
                }
            }
            2 => {
                let result = runtime.restart(&id).await;
                let expected = match now.map(|(is, _)| is) {
                    None => "not_found",
                    Some(Is::Running) => "running",
                    Some(Is::Paused | Is::Failed) => "ok",
                };
                assert_eq!(restart_word(&result), expected, "{context}");
                if expected == "ok" {
                    model.insert(id, (Is::Running, 0));
                }
            }
            3 => {
                runtime.detach(&id).await.unwrap();
                model.remove(&id);
            }
            4 => {
                let crashed = runtime.inject_crash(&id, "as rolled");
                assert_eq!(crashed.is_ok(), matches!(now, Some((Is::Running, _))), "{context}");
                if let (Some((is, crashes)), Ok(())) = (model.get_mut(&id), crashed) {
                    let fails = budget.is_some_and(|budget| *crashes >= budget);
                    let expected = if fails { Status::Failed } else { Status::Running };
                    if fails {
                        *is = Is::Failed;
                    } else {
                        *crashes += 1;
                    }
                    let incarnation = runtime.describe(&id).unwrap().incarnation;
                    until(&mut watch, || {
                        let now = runtime.describe(&id).unwrap();
                        now.status == expected && (fails || now.incarnation > incarnation)
                    })
                    .await;
                }
            }
            _ => {
                let name = if dice.roll(2) == 0 { "a.b" } else { "a.c" };
                runtime.emit(name, &serde_json::json!({ "step": step })).await.unwrap();
            }
        }
        let running: Vec<String> = model
            .iter()
            .filter(|(_, (is, _))| *is == Is::Running)
            .map(|(id, _)| id.clone())
            .collect();
        let listed: Vec<String> = runtime.list_emitters().iter().map(ToString::to_string).collect();
        assert_eq!(listed, running, "seed {seed} step {step}");
        for emitter in runtime.emitters() {
            let expected = match model.get(emitter.id.as_str()) {
                Some((Is::Running, _)) => Status::Running,
                Some((Is::Paused, _)) => Status::Paused,
                Some((Is::Failed, _)) => Status::Failed,
                None => panic!("{} should not be there: seed {seed} step {step}", emitter.id),
            };
            assert_eq!(emitter.status, expected, "seed {seed} step {step}");
        }
        assert_eq!(runtime.emitters().len(), model.len());
    }
    runtime.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_steps_with_crashes() {
    against_a_model(0x5eed_0001, None).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_steps_with_a_small_budget() {
    against_a_model(0x5eed_0002, Some(2)).await;
}
