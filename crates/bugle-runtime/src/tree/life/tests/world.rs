//! Random lives in a small world: what the effects ask for happens, at any time, and whatever comes
//! in between.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bugle_core::{Backlog, EmitterId, ErrorKind, Gone, Incarnation, JournalError, RestartBudget};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::tree::life::next::next;
use crate::tree::life::{Call, Effect, Given, Input, Life, Lives, Refusal};
use crate::words::description::Status;
use crate::words::event::RuntimeEvent;

/// Something happens.
#[derive(Debug, Clone)]
enum Act {
    Attach,
    Ensure {
        anew: bool,
    },
    Pause {
        backlog: Option<Backlog>,
        grace: bool,
    },
    Restart,
    Detach,
    /// The store answers whoever waits for a place.
    Open {
        well: bool,
    },
    /// The actor ends: as it was told to, or it crashes.
    End,
    /// The actor's receiver is gone.
    Gone(Gone),
    /// Another owner takes it.
    Lost,
    /// The store says that its owner may have changed.
    Moved,
    /// The store answers whoever asked for it.
    Claim {
        free: bool,
    },
    /// Time passes, and what is due by then comes.
    Pass(u64),
    /// A word of an earlier life comes late.
    Late(u8),
    ShutDown,
}

/// Strategy for an emitter whose places can always be opened.
fn act() -> impl Strategy<Value = Act> {
    let backlog = prop_oneof![Just(None), Just(Some(Backlog::Keep)), Just(Some(Backlog::Discard))];
    prop_oneof![
        4 => Just(Act::Attach),
        4 => any::<bool>().prop_map(|anew| Act::Ensure { anew }),
        4 => (backlog, any::<bool>()).prop_map(|(backlog, grace)| Act::Pause { backlog, grace }),
        4 => Just(Act::Restart),
        2 => Just(Act::Detach),
        8 => Just(Act::Open { well: true }),
        10 => Just(Act::End),
        1 => Just(Act::Gone(Gone::Pause)),
        1 => Just(Act::Gone(Gone::Detach)),
        6 => (0_u64..400).prop_map(Act::Pass),
        3 => (0_u8..9).prop_map(Act::Late),
    ]
}

fn act_or_failure() -> impl Strategy<Value = Act> {
    prop_oneof![
        40 => act(),
        2 => Just(Act::Open { well: false }),
        4 => Just(Act::Lost),
        2 => Just(Act::Moved),
        6 => any::<bool>().prop_map(|free| Act::Claim { free }),
        1 => Just(Act::ShutDown),
    ]
}

/// An emitter as its callers may expect it to be, once all that was begun has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Absent,
    Running,
    Paused,
    Failed,
}

/// An answer says one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Ok,
    Refused,
}

struct World {
    emitter: EmitterId,
    budget: RestartBudget,
    now: Duration,
    lives: Option<Lives<u32>>,
    /// The actor that runs, and whether it was told to end.
    actor: Option<(Incarnation, bool)>,
    /// Set while events wake it.
    is_woken: bool,
    /// This caller waits for a place.
    opening: Option<u32>,
    /// Those who asked for it while another owner has it.
    claims: VecDeque<Option<u32>>,
    /// Set where another owner had it before this step.
    was_elsewhere: bool,
    /// When a restart is due, and after which life.
    armed: Option<(Duration, Incarnation)>,
    /// The journal does this with the events that come while it does not run.
    resting: Option<Backlog>,
    /// Every call, and what was answered.
    answers: BTreeMap<u32, Vec<Said>>,
    /// These answers were to come.
    promised: BTreeMap<u32, Said>,
    expected: Expected,
    /// The crashes since it was attached or restarted by hand.
    crashes: VecDeque<Duration>,
    shut_down: bool,
    left: u32,
    opens_always: bool,
}

impl World {
    fn new(opens_always: bool) -> Result<Self, TestCaseError> {
        let emitter = EmitterId::new("a").map_err(|e| TestCaseError::fail(e.to_string()))?;
        Ok(Self {
            emitter,
            budget: RestartBudget::new(2, Duration::from_millis(1000)),
            now: Duration::ZERO,
            lives: None,
            actor: None,
            is_woken: false,
            opening: None,
            claims: VecDeque::new(),
            was_elsewhere: false,
            armed: None,
            resting: None,
            answers: BTreeMap::new(),
            promised: BTreeMap::new(),
            expected: Expected::Absent,
            crashes: VecDeque::new(),
            shut_down: false,
            left: 0,
            opens_always,
        })
    }

    fn status(&self) -> Option<Status> {
        self.lives.as_ref().map(|lives| lives.life.status())
    }

    fn act(&mut self, act: Act) -> TestCaseResult {
        let caller = self.answers.len() as u32;
        match act {
            Act::Attach => self.call(caller, Call::Attach(caller)),
            Act::Ensure { anew } => {
                let anew = anew.then_some(Duration::from_secs(5));
                self.call(caller, Call::Ensure { caller, anew })
            }
            Act::Pause { backlog, grace } => {
                let grace = Duration::from_secs(u64::from(grace));
                self.call(caller, Call::Pause { caller, backlog, grace })
            }
            Act::Restart => self.call(caller, Call::Restart(caller)),
            Act::Detach => self.call(caller, Call::Detach(caller)),
            Act::Open { well } => match self.opening.take() {
                Some(caller) => {
                    let error = || JournalError::new(ErrorKind::Transient, "as scripted");
                    self.step(Input::Opened(caller, well.then_some(()).ok_or_else(error)))
                }
                None => Ok(()),
            },
            Act::End => match self.actor.take() {
                Some((incarnation, told)) => {
                    let fails = !told && self.crash();
                    if fails {
                        self.expected = Expected::Failed;
                    }
                    let why = "as scripted".to_owned();
                    self.step(Input::Ended { incarnation, why, aborted: 0 })?;
                    if !told {
                        let follows = if fails { Status::Failed } else { Status::Restarting };
                        prop_assert_eq!(self.status(), Some(follows));
                    }
                    Ok(())
                }
                None => Ok(()),
            },
            Act::Gone(gone) => match self.actor {
                Some((incarnation, told)) => {
                    if !told {
                        self.expected = match gone {
                            Gone::Detach => Expected::Absent,
                            _ => Expected::Paused,
                        };
                    }
                    self.step(Input::Gone(incarnation, gone))
                }
                None => Ok(()),
            },
            Act::Lost => match self.actor {
                Some((incarnation, _)) => {
                    self.step(Input::Lost(incarnation, "as scripted".to_owned()))
                }
                None => Ok(()),
            },
            Act::Moved => self.step(Input::Moved),
            Act::Claim { free } => match self.claims.pop_front() {
                Some(caller) => {
                    let error = || JournalError::new(ErrorKind::Fenced, "as scripted");
                    self.step(Input::Claimed(caller, free.then_some(()).ok_or_else(error)))
                }
                None => Ok(()),
            },
            Act::Pass(ms) => {
                self.now += Duration::from_millis(ms);
                match self.armed.take_if(|(due, _)| *due <= self.now) {
                    Some((_, incarnation)) => self.step(Input::Due(incarnation)),
                    None => Ok(()),
                }
            }
            Act::Late(which) => self.late(which),
            Act::ShutDown => {
                self.shut_down = true;
                self.step(Input::ShutDown(Duration::from_secs(1)))
            }
        }
    }

    /// Calls, and says what is to come of it: calls are taken in the order in which they come.
    fn call(&mut self, caller: u32, call: Call<u32>) -> TestCaseResult {
        if self.shut_down {
            // Refused before it comes to the emitter.
            return Ok(());
        }
        let (said, expected) = match (&call, self.expected) {
            (Call::Attach(_), Expected::Absent) => (Said::Ok, Expected::Running),
            (Call::Attach(_), is) => (Said::Refused, is),
            (Call::Ensure { .. }, Expected::Absent) => (Said::Ok, Expected::Running),
            (Call::Ensure { .. }, is) => (Said::Ok, is),
            (Call::Pause { .. }, Expected::Absent) => (Said::Ok, Expected::Absent),
            (Call::Pause { .. }, _) => (Said::Ok, Expected::Paused),
            (Call::Restart(_), Expected::Paused | Expected::Failed) => {
                (Said::Ok, Expected::Running)
            }
            (Call::Restart(_), is) => (Said::Refused, is),
            (Call::Detach(_), _) => (Said::Ok, Expected::Absent),
        };
        self.answers.insert(caller, Vec::new());
        self.promised.insert(caller, said);
        self.expected = expected;
        self.step(Input::Call(call))
    }

    /// Says whether this crash is over the budget.
    fn crash(&mut self) -> bool {
        let (now, within) = (self.now, self.budget.within);
        self.crashes.retain(|at| now.saturating_sub(*at) <= within);
        if self.crashes.len() >= self.budget.restarts as usize {
            return true;
        }
        self.crashes.push_back(now);
        false
    }

    /// A word of an earlier life changes nothing.
    fn late(&mut self, which: u8) -> TestCaseResult {
        let now = self.lives.as_ref().map_or(Incarnation(9), |lives| lives.incarnation);
        let earlier = Incarnation(now.0.saturating_sub(1 + u64::from(which) / 3));
        if earlier == now {
            return Ok(());
        }
        let why = "late".to_owned();
        let input = match which % 3 {
            0 => Input::Ended { incarnation: earlier, why, aborted: 1 },
            1 => Input::Due(earlier),
            _ => Input::Gone(earlier, Gone::Detach),
        };
        let (before, done) = (self.status(), self.step_once(input));
        prop_assert!(done.is_empty(), "{:?}", done);
        prop_assert_eq!(self.status(), before);
        Ok(())
    }

    fn step_once(&mut self, input: Input<u32>) -> Vec<Effect<u32>> {
        let given = Given {
            emitter: &self.emitter,
            now: self.now,
            budget: &self.budget,
            backlog: Backlog::Discard,
        };
        self.was_elsewhere = self.status() == Some(Status::Elsewhere);
        let (lives, effects) = next(self.lives.take(), input, given);
        self.lives = lives;
        effects
    }

    fn step(&mut self, input: Input<u32>) -> TestCaseResult {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.step_once(input) {
                if let Effect::Take(call) = effect {
                    inputs.push_back(Input::Call(call));
                } else {
                    self.play(effect)?;
                }
            }
        }
        self.check()
    }

    fn play(&mut self, effect: Effect<u32>) -> TestCaseResult {
        match effect {
            Effect::Open(caller) => {
                prop_assert!(self.actor.is_none() && self.opening.is_none());
                self.opening = Some(caller);
            }
            Effect::Start(incarnation) => {
                prop_assert!(self.actor.is_none(), "two actors at once");
                prop_assert!(self.armed.is_none(), "it would be started twice");
                prop_assert!(!self.shut_down);
                self.actor = Some((incarnation, false));
                self.is_woken = true;
                if self.opens_always {
                    prop_assert_ne!(self.expected, Expected::Failed, "only restart leaves that");
                }
            }
            Effect::Claim(caller) => {
                prop_assert!(self.actor.is_none() && self.opening.is_none());
                self.claims.push_back(caller);
            }
            Effect::Wake => prop_assert!(self.is_woken),
            Effect::Hush => self.is_woken = false,
            Effect::Drain(_) => {
                prop_assert!(!self.is_woken);
                let Some((_, told)) = &mut self.actor else {
                    return Err(TestCaseError::fail("nobody to drain"));
                };
                *told = true;
            }
            Effect::Arm(delay, incarnation) => {
                prop_assert!(self.armed.is_none() && self.actor.is_none());
                self.armed = Some((self.now + delay, incarnation));
            }
            // It may have come already, where another owner has the emitter.
            Effect::Disarm => prop_assert!(self.armed.take().is_some() || self.was_elsewhere),
            Effect::Rest(backlog) => self.resting = Some(backlog),
            Effect::Resume(_) => self.resting = None,
            Effect::Keep(caller) | Effect::Forget(caller) => {
                if let Some(caller) = caller {
                    self.answered(caller, Said::Ok)?;
                }
            }
            Effect::Retarget(caller) => self.answered(caller, Said::Ok)?,
            Effect::Answer(caller, Ok(())) => self.answered(caller, Said::Ok)?,
            Effect::Answer(caller, Err(refusal)) => {
                let by_call = !matches!(refusal, Refusal::Store(_) | Refusal::ShutDown);
                prop_assert!(by_call || !self.opens_always, "{:?}", refusal);
                self.answered(caller, Said::Refused)?;
            }
            Effect::Leave { .. } => {
                prop_assert!(self.shut_down);
                self.left += 1;
                self.resting = None;
            }
            Effect::Tell(RuntimeEvent::Restarted { .. } | RuntimeEvent::Attached { .. }) => {
                self.crashes.clear();
                self.resting = None;
            }
            Effect::Remove | Effect::Withdraw => self.resting = None,
            Effect::Blame(_) | Effect::Tell(_) | Effect::Take(_) => {}
        }
        Ok(())
    }

    fn answered(&mut self, caller: u32, said: Said) -> TestCaseResult {
        let answers = self.answers.entry(caller).or_default();
        answers.push(said);
        prop_assert_eq!(answers.len(), 1, "caller {} was answered twice", caller);
        Ok(())
    }

    /// The world is as the life says.
    fn check(&self) -> TestCaseResult {
        let Some(lives) = &self.lives else {
            prop_assert!(self.actor.is_none() && self.armed.is_none() && self.resting.is_none());
            return Ok(());
        };
        let (running, told) = match self.actor {
            Some((incarnation, told)) => {
                prop_assert_eq!(incarnation, lives.incarnation);
                (true, told)
            }
            None => (false, false),
        };
        let is = (running, told, self.is_woken, self.opening.is_some(), self.armed.is_some());
        let (is_to_be, resting) = match &lives.life {
            Life::Opening { .. } => ((false, false, false, true, false), self.resting),
            Life::Running => ((true, false, true, false, false), None),
            Life::Stopping { .. } => ((true, true, false, false, false), None),
            Life::Restarting { until, .. } => {
                prop_assert_eq!(self.armed.map(|(due, _)| due), Some(*until));
                ((false, false, false, false, true), None)
            }
            Life::Paused { backlog, .. } => ((false, false, false, false, false), Some(*backlog)),
            Life::Failed { .. } => ((false, false, false, false, false), Some(Backlog::Keep)),
            Life::Elsewhere { .. } => {
                prop_assert!(self.armed.is_some() || !self.claims.is_empty(), "nobody asks again");
                ((false, false, false, false, self.armed.is_some()), None)
            }
        };
        prop_assert_eq!(is, is_to_be, "{:?}", lives.life);
        prop_assert_eq!(self.resting, resting, "{:?}", lives.life);
        Ok(())
    }

    /// All that was begun ends.
    fn settle(&mut self) -> TestCaseResult {
        for _ in 0..1000 {
            match self.status() {
                Some(Status::Opening) => self.act(Act::Open { well: true })?,
                Some(Status::Stopping) => self.act(Act::End)?,
                Some(Status::Restarting) => self.act(Act::Pass(1000))?,
                Some(Status::Elsewhere) if self.claims.is_empty() => self.act(Act::Pass(5000))?,
                _ if !self.claims.is_empty() => self.act(Act::Claim { free: true })?,
                // Shut down meanwhile, and nobody else will tell who waits.
                _ if self.opening.is_some() => self.act(Act::Open { well: true })?,
                _ => return Ok(()),
            }
        }
        Err(TestCaseError::fail("it does not come to rest"))
    }
}

fn run(acts: Vec<Act>, opens_always: bool) -> TestCaseResult {
    let mut world = World::new(opens_always)?;
    for act in acts {
        world.act(act)?;
    }
    world.settle()?;
    for (caller, answers) in &world.answers {
        prop_assert_eq!(answers.len(), 1, "caller {} waits for ever", caller);
    }
    if world.shut_down {
        prop_assert!(world.status().is_none() && world.left <= 1);
    }
    if opens_always {
        let is = match world.status() {
            None => Expected::Absent,
            Some(Status::Running) => Expected::Running,
            Some(Status::Paused) => Expected::Paused,
            _ => Expected::Failed,
        };
        prop_assert_eq!(is, world.expected, "what is desired and what is observed agree");
        let said = world.answers.into_iter().map(|(caller, said)| (caller, said[0]));
        prop_assert_eq!(said.collect::<BTreeMap<_, _>>(), world.promised);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever comes in whatever order: there are never two actors at once, every caller is
    /// answered once and as its call deserves, and what is observed comes to what is desired.
    #[test]
    fn calls_are_taken_in_their_order(acts in prop::collection::vec(act(), 1..120)) {
        run(acts, true)?;
    }

    /// The same with places that can't be opened, and shutdowns, where an answer may be a refusal.
    #[test]
    fn with_a_store_that_fails_and_shutdowns(
        acts in prop::collection::vec(act_or_failure(), 1..120),
    ) {
        run(acts, false)?;
    }
}
