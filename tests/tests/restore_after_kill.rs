//! A process that attaches, changes and detaches emitters is killed again and again. A call that
//! had returned is restored, and one that was under way is restored whole or not at all.
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bugle::{Desired, Runtime, Store};
use support::config;

const DIRECTORY: &str = "BUGLE_RESTORE_TEST_DIRECTORY";
const SEED: &str = "BUGLE_RESTORE_TEST_SEED";
const LIVES: u64 = 15;

/// The subscription, the URL, and the paused state of each emitter.
type Model = BTreeMap<String, (String, String, bool)>;

/// SplitMix64: the same steps for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

struct Step {
    call: u64,
    id: String,
    name: String,
    url: String,
}

impl Step {
    fn roll(dice: &mut Dice) -> Self {
        Self {
            call: dice.roll(8),
            id: format!("e{}", dice.roll(4)),
            name: format!("a.{}", dice.roll(3)),
            url: format!("https://example.com/{}", dice.roll(1_000)),
        }
    }

    /// Applies the call to the emitters of the model.
    fn apply(&self, model: &mut Model) {
        let new = || (self.name.clone(), self.url.clone(), false);
        match (self.call, model.get_mut(&self.id)) {
            (0..=3, None) => drop(model.insert(self.id.clone(), new())),
            (2 | 3, Some((name, url, _))) => {
                (*name, *url) = (self.name.clone(), self.url.clone());
            }
            (4, Some((_, url, _))) => *url = self.url.clone(),
            (5, Some((.., paused))) => *paused = true,
            (6, Some((.., paused))) => *paused = false,
            (7, Some(_)) => drop(model.remove(&self.id)),
            _ => {}
        }
    }

    /// Makes the call. It returns, done or refused, when the result is safe.
    async fn make(&self, runtime: &Runtime) {
        let config = config(&self.url);
        match self.call {
            0 | 1 => drop(runtime.attach(&self.id, &self.name, config).await),
            2 | 3 => runtime.ensure(&self.id, [&self.name], config).await.unwrap(),
            4 => drop(runtime.update(&self.id, config).await),
            5 => runtime.pause(&self.id).await.unwrap(),
            6 => drop(runtime.restart(&self.id).await),
            _ => runtime.detach(&self.id).await.unwrap(),
        }
    }
}

async fn open(directory: &Path) -> Runtime {
    let store = Store::open(directory).unwrap();
    Runtime::builder().store(store).restore_emitters(true).start().await.unwrap()
}

/// The process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the other test"]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let mut dice = Dice(std::env::var(SEED).unwrap().parse().unwrap());
    let runtime = open(Path::new(&directory)).await;
    for number in 0_u64.. {
        Step::roll(&mut dice).make(&runtime).await;
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nledger {number}").unwrap();
        out.flush().unwrap();
    }
}

/// Lets a child work for a while, and kills it. Returns the number of steps that it reported as
/// done.
fn live(directory: &Path, seed: u64) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = out.lines().map_while(Result::ok).filter(|line| line.starts_with("ledger "));
    // It is killed while the last of them, or the next step, is under way.
    let wanted = usize::try_from(seed * 7 % 40).unwrap();
    let mut lines = lines.fuse();
    let mut done = lines.by_ref().take(wanted).count();
    std::thread::sleep(Duration::from_micros(seed * 977 % 4_000));
    child.kill().unwrap();
    child.wait().unwrap();
    done += lines.count();
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_is_restored_after_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    let mut steps = 0;
    for seed in 1..=LIVES {
        let done = live(directory.path(), seed);
        steps += done;
        let mut dice = Dice(seed);
        for _ in 0..done {
            Step::roll(&mut dice).apply(&mut model);
        }
        let mut further = model.clone();
        Step::roll(&mut dice).apply(&mut further);
        let runtime = open(directory.path()).await;
        let restored: Model = runtime
            .emitters()
            .into_iter()
            .map(|it| {
                let paused = it.desired == Desired::Paused;
                (it.id.to_string(), (it.subscription.to_string(), it.url.unwrap(), paused))
            })
            .collect();
        assert!(
            restored == model || restored == further,
            "seed {seed}, {done} steps: {restored:#?} is neither {model:#?} nor {further:#?}"
        );
        model = restored;
        runtime.shutdown(Duration::ZERO).await;
    }
    assert!(steps > 100, "only {steps} steps");
}
