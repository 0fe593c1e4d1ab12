//! Sides take turns at sending as fast as they can.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::allocations::Counting;
use crate::stats::{float, median, micros, process_cpu};

/// The longest time that a turn goes without an answer before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A side: something that sends.
pub(crate) trait Side {
    /// Begins to send.
    fn start(&mut self);
    /// The number of requests that were sent and answered since it was made.
    fn completed(&self) -> u64;
    /// Ends sending, and waits until all is answered.
    async fn stop(&mut self) -> Result<()>;
}

/// One side's numbers in one turn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Turn {
    /// Requests a second.
    pub(crate) rps: f64,
    /// Microseconds of CPU time for each, on the sending side.
    pub(crate) cpu_us: f64,
    /// Allocations for each, and their bytes, in the sending process.
    pub(crate) allocations: f64,
    pub(crate) allocated_bytes: f64,
}

/// The numbers of all sides over all rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    /// Medians of Bugle's turns.
    pub(crate) bugle: Turn,
    /// Medians of the turns of the ceiling, bare hyper.
    pub(crate) ceiling: Turn,
    /// Medians of the turns of the bare lean loop.
    pub(crate) lean: Turn,
    /// The median of the rounds' ratios of requests a second. It is not the ratio of the medians:
    /// what the machine does beside this changes over time, but hardly within a round.
    pub(crate) ratio: f64,
    /// The same of CPU time.
    pub(crate) cpu_ratio: f64,
    /// The same of requests a second to the lean loop's.
    pub(crate) lean_ratio: f64,
}

/// The length of the turns, and their number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) count: u32,
    /// The measured part of a turn.
    pub(crate) slice: Duration,
    /// The unmeasured part before it, in each turn.
    pub(crate) warm_up: Duration,
    /// The number of requests that must be answered before it is measured.
    pub(crate) lanes: u64,
}

/// Has the sides take turns: ceiling, Bugle, lean loop, ceiling, Bugle, lean loop. The first round
/// is a warm-up.
pub(crate) async fn compare(
    ceiling: &mut impl Side,
    bugle: &mut impl Side,
    lean: &mut impl Side,
    rounds: Rounds,
) -> Result<Comparison> {
    let mut all = Vec::new();
    for round in 0..=rounds.count {
        let ceiling = turn(ceiling, rounds).await?;
        let bugle = turn(bugle, rounds).await?;
        let turns = [ceiling, bugle, turn(lean, rounds).await?];
        if round > 0 {
            all.push(turns);
        }
    }
    Ok(comparison(&all))
}

/// Has one side alone send, as often. For a profiler.
pub(crate) async fn alone(side: &mut impl Side, rounds: Rounds) -> Result<Turn> {
    let mut turns = Vec::new();
    for _ in 0..=rounds.count {
        turns.push(turn(side, rounds).await?);
    }
    Ok(medians(turns.iter()))
}

/// Has one side send for a while.
pub(crate) async fn turn(side: &mut impl Side, rounds: Rounds) -> Result<Turn> {
    let before = side.completed();
    side.start();
    tokio::time::sleep(rounds.warm_up).await;
    // In the first round, until every lane has its connection.
    answered(side, before + rounds.lanes).await?;
    let before = side.completed();
    let counting = Counting::start();
    let (cpu, start) = (process_cpu(), Instant::now());
    tokio::time::sleep(rounds.slice).await;
    answered(side, before + 1).await?;
    let (elapsed, cpu) = (start.elapsed(), process_cpu().saturating_sub(cpu));
    let allocated = counting.stop();
    let count = float(side.completed() - before);
    side.stop().await?;
    Ok(Turn {
        rps: count / elapsed.as_secs_f64(),
        cpu_us: micros(cpu) / count,
        allocations: float(allocated.count) / count,
        allocated_bytes: float(allocated.bytes) / count,
    })
}

/// Waits until so many are answered.
async fn answered(side: &impl Side, count: u64) -> Result<()> {
    let start = Instant::now();
    while side.completed() < count {
        ensure!(start.elapsed() < PATIENCE, "nothing was answered within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn comparison(rounds: &[[Turn; 3]]) -> Comparison {
    let of = |value: fn(&[Turn; 3]) -> f64| median(rounds.iter().map(value)).unwrap_or(f64::NAN);
    Comparison {
        ceiling: medians(rounds.iter().map(|[ceiling, _, _]| ceiling)),
        bugle: medians(rounds.iter().map(|[_, bugle, _]| bugle)),
        lean: medians(rounds.iter().map(|[_, _, lean]| lean)),
        ratio: of(|[ceiling, bugle, _]| bugle.rps / ceiling.rps),
        cpu_ratio: of(|[ceiling, bugle, _]| bugle.cpu_us / ceiling.cpu_us),
        lean_ratio: of(|[_, bugle, lean]| bugle.rps / lean.rps),
    }
}

/// The median of each number.
fn medians<'a>(turns: impl Iterator<Item = &'a Turn> + Clone) -> Turn {
    let of = |value: fn(&Turn) -> f64| median(turns.clone().map(value)).unwrap_or(f64::NAN);
    Turn {
        rps: of(|it| it.rps),
        cpu_us: of(|it| it.cpu_us),
        allocations: of(|it| it.allocations),
        allocated_bytes: of(|it| it.allocated_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_each_round() {
        let turn = |rps, cpu_us| Turn { rps, cpu_us, ..Turn::default() };
        // The machine was twice as fast in the last round.
        let rounds = [
            [turn(100.0, 6.0), turn(80.0, 9.0), turn(160.0, 3.0)],
            [turn(100.0, 6.0), turn(90.0, 6.0), turn(160.0, 3.0)],
            [turn(200.0, 3.0), turn(160.0, 4.5), turn(320.0, 1.5)],
        ];
        let found = comparison(&rounds);
        assert_eq!(found.ceiling, turn(100.0, 6.0));
        assert_eq!(found.bugle, turn(90.0, 6.0));
        assert!((found.ratio - 0.8).abs() < 1e-9, "{found:?}");
        assert!((found.cpu_ratio - 1.5).abs() < 1e-9, "{found:?}");
        assert!((found.lean_ratio - 0.5).abs() < 1e-9, "{found:?}");
        assert_eq!(found.lean, turn(160.0, 3.0));
    }
}
