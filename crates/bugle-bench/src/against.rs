//! Compares two commits. Each is built from a work tree of its own, and their benchmarks take
//! turns, so that whatever else the machine does meets both.
//!
//! Under `target/bench-against` each commit has a work tree that is named as it is, and its
//! programs in `bin`. One target directory serves all, so that what all depend on is built once.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::args::Args;
use crate::case::Case;
use crate::report::{comparison, rounded};
use crate::stats::median;

/// The numbers of a case, by name.
type Numbers = BTreeMap<String, f64>;

/// Builds the commit and the one that is checked out, measures both, and prints the ratios.
pub(crate) fn run(args: &Args, commit: &str) -> Result<()> {
    let repository = PathBuf::from(git(Path::new("."), &["rev-parse", "--show-toplevel"])?);
    let mut error = std::io::stderr();
    if !git(&repository, &["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
        writeln!(error, "What is not committed is not compared: HEAD is.")?;
    }
    let mut benches = Vec::new();
    for name in [commit, "HEAD"] {
        let tree = work_tree(&repository, name)?;
        writeln!(error, "Building {name} in {}", tree.display())?;
        benches.push(built(&tree)?);
    }
    let [old, new] = &benches[..] else { bail!("two commits are compared") };
    let known = [cases(old)?, cases(new)?];
    let wanted = Case::select(&args.cases)?.into_iter().map(|case| case.to_string());
    let (both, others): (Vec<_>, Vec<_>) =
        wanted.partition(|case| known.iter().all(|known| known.contains(case)));
    for case in others {
        writeln!(error, "{case} is not compared: one of the two does not know it")?;
    }
    let mut lines = Vec::new();
    for case in both {
        let mut rounds = Vec::new();
        for round in 0..args.rounds {
            writeln!(error, "{case}: round {} of {}", round + 1, args.rounds)?;
            // Neither is always the first.
            rounds.push(if round % 2 == 0 {
                let old = measure(old, &case, args)?;
                (old, measure(new, &case, args)?)
            } else {
                let new = measure(new, &case, args)?;
                (measure(old, &case, args)?, new)
            });
        }
        lines.extend(compare(&rounds).into_iter().map(|line| line.of(&case)));
    }
    writeln!(std::io::stdout(), "{}", comparison(commit, &lines))?;
    Ok(())
}

/// One number of both commits: medians, and the median of the rounds' ratios.
#[derive(Debug, PartialEq)]
struct Line {
    number: String,
    old: f64,
    new: f64,
    ratio: f64,
}

impl Line {
    fn of(self, case: &str) -> [String; 5] {
        let numbers = [self.old, self.new].map(rounded);
        let [old, new] = numbers;
        [case.to_owned(), self.number, old, new, format!("{:.3}", self.ratio)]
    }
}

/// Compares the numbers that both commits have.
fn compare(rounds: &[(Numbers, Numbers)]) -> Vec<Line> {
    let Some((first, _)) = rounds.first() else { return Vec::new() };
    let line = |number: &String| {
        let pairs: Option<Vec<(f64, f64)>> =
            rounds.iter().map(|(old, new)| Some((*old.get(number)?, *new.get(number)?))).collect();
        let pairs = pairs?;
        Some(Line {
            number: number.clone(),
            old: median(pairs.iter().map(|it| it.0))?,
            new: median(pairs.iter().map(|it| it.1))?,
            ratio: median(pairs.iter().map(|it| it.1 / it.0))?,
        })
    };
    first.keys().filter_map(line).collect()
}

/// Makes a commit's work tree, under the repository's target directory; it stays for another time.
fn work_tree(repository: &Path, name: &str) -> Result<PathBuf> {
    let commit = git(repository, &["rev-parse", "--verify", &format!("{name}^{{commit}}")])
        .with_context(|| format!("there is no commit {name:?}"))?;
    let tree = repository.join("target/bench-against").join(&commit);
    if !tree.join(".git").exists() {
        // Of one that was deleted without git.
        git(repository, &["worktree", "prune"])?;
        let path = tree.to_str().context("the directory's name is not Unicode")?;
        git(repository, &["worktree", "add", "--detach", path, &commit])?;
    }
    Ok(tree)
}

/// Builds the benchmark, and the command line that it measures; answers the path of the benchmark.
fn built(tree: &Path) -> Result<PathBuf> {
    let (all, commit) = (tree.parent().zip(tree.file_name())).context("a work tree has a name")?;
    let directory = all.join("bin").join(commit);
    let target = all.join("target");
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked"])
        .args(["-p", "bugle-bench", "-p", "bugle-cli", "--target-dir"])
        .arg(&target)
        .current_dir(tree)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "{} can't be built: {status}", tree.display());
    std::fs::create_dir_all(&directory)?;
    for name in ["bugle-bench", "bugle"] {
        // The next commit's is built in the same place.
        std::fs::copy(target.join("release").join(name), directory.join(name))?;
    }
    Ok(directory.join("bugle-bench"))
}

/// Lists the cases that a benchmark knows.
fn cases(bench: &Path) -> Result<Vec<String>> {
    let output = Command::new(bench).arg("--list").output()?;
    ensure!(output.status.success(), "{} can't tell its cases", bench.display());
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Measures one round of one case.
fn measure(bench: &Path, case: &str, args: &Args) -> Result<Numbers> {
    let directory = bench.with_file_name("bench-against");
    std::fs::create_dir_all(&directory)?;
    let json = directory.join("results.json");
    let mut command = Command::new(bench);
    command.args(["--rounds", "1", "--case", case, "--threads", &args.threads.to_string()]);
    command.arg("--json").arg(&json).arg("--plots").arg(directory.join("plots"));
    command.arg("--directory").arg(std::path::absolute(&args.directory)?);
    if args.quick {
        command.arg("--quick");
    }
    if let Some(seconds) = args.seconds {
        command.args(["--seconds", &seconds.as_secs_f64().to_string()]);
    }
    if let Some(depth) = args.depth {
        command.args(["--depth", &depth.to_string()]);
    }
    let output = command.output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ended with {}: {words}", bench.display(), output.status);
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(&std::fs::read(json)?)?;
    let row = rows.into_iter().next().context("the case gave nothing")?;
    let numbers = row.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
    Ok(numbers.filter(|(name, _)| name != "rounds").collect())
}

fn git(repository: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(repository).args(arguments).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {} failed: {}", arguments.join(" "), words.trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_numbers_that_both_have() {
        let numbers = |rps: f64, more: &[(&str, f64)]| {
            let all = [("rps", rps)].into_iter().chain(more.iter().copied());
            all.map(|(name, value)| (name.to_owned(), value)).collect::<Numbers>()
        };
        let rounds = [
            (numbers(100.0, &[("cpu_us", 4.0), ("gone", 1.0)]), numbers(110.0, &[("cpu_us", 2.0)])),
            // The machine was twice as fast.
            (numbers(200.0, &[("cpu_us", 2.0)]), numbers(240.0, &[("cpu_us", 1.0), ("come", 1.0)])),
            (numbers(100.0, &[("cpu_us", 4.0)]), numbers(130.0, &[("cpu_us", 2.0)])),
        ];
        let line =
            |number: &str, old, new, ratio| Line { number: number.to_owned(), old, new, ratio };
        assert_eq!(
            compare(&rounds),
            [line("cpu_us", 4.0, 2.0, 0.5), line("rps", 100.0, 130.0, 1.2)]
        );
        assert_eq!(compare(&[]), []);
    }

    #[test]
    fn each_commit_has_a_work_tree_that_stays() {
        let directory = tempfile::tempdir().unwrap();
        let repository = directory.path();
        let run = |arguments: &[&str]| {
            let who = ["-c", "user.name=A", "-c", "user.email=a@example.com"];
            git(repository, &[&who[..], arguments].concat()).unwrap()
        };
        run(&["init", "-q"]);
        for text in ["one", "two"] {
            std::fs::write(repository.join("file"), text).unwrap();
            run(&["add", "file"]);
            run(&["commit", "-q", "-m", text]);
        }
        let read = |name: &str| {
            std::fs::read_to_string(work_tree(repository, name).unwrap().join("file")).unwrap()
        };
        assert_eq!((read("HEAD~1"), read("HEAD")), ("one".to_owned(), "two".to_owned()));
        let tree = work_tree(repository, "HEAD").unwrap();
        std::fs::write(tree.join("kept"), "").unwrap();
        assert_eq!(work_tree(repository, "HEAD").unwrap(), tree);
        assert!(tree.join("kept").exists());
        // Also after somebody has cleaned up.
        std::fs::remove_dir_all(&tree).unwrap();
        assert_eq!(read("HEAD"), "two");
        let error = work_tree(repository, "HEAD~7").unwrap_err();
        assert!(error.to_string().contains("no commit \"HEAD~7\""), "{error}");
    }
}
