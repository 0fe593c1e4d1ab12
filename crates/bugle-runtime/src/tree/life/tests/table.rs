//! Each input in each life: which life follows, and what is done for it.

use std::time::Duration;

use bugle_core::{
    Backlog, EmitterId, ErrorKind, Gone, IdError, Incarnation, JournalError, RestartBudget,
};

use crate::tree::life::next::next;
use crate::tree::life::{Call, Effect, Given, Goal, Input, Life, Lives, Refusal, Then};
use crate::words::description::Status;
use crate::words::event::RuntimeEvent;

const NOW: Duration = Duration::from_secs(100);
const GRACE: Duration = Duration::from_secs(7);

/// The caller of the call that is made, and the one that waits already.
const ME: &str = "me";
const OTHER: &str = "other";

/// A caller, by what it is called in the table.
type Named = &'static str;

fn attach() -> Input<Named> {
    Input::Call(Call::Attach(ME))
}

fn ensure() -> Input<Named> {
    Input::Call(Call::Ensure { caller: ME, anew: None })
}

fn ensure_anew() -> Input<Named> {
    Input::Call(Call::Ensure { caller: ME, anew: Some(GRACE) })
}

fn pause() -> Input<Named> {
    pause_with(None, Duration::ZERO)
}

fn pause_with(backlog: Option<Backlog>, grace: Duration) -> Input<Named> {
    Input::Call(Call::Pause { caller: ME, backlog, grace })
}

fn restart() -> Input<Named> {
    Input::Call(Call::Restart(ME))
}

fn detach() -> Input<Named> {
    Input::Call(Call::Detach(ME))
}

fn opened() -> Input<Named> {
    Input::Opened(OTHER, Ok(()))
}

fn not_opened() -> Input<Named> {
    Input::Opened(OTHER, Err(JournalError::new(ErrorKind::Transient, "no disk")))
}

fn ended() -> Input<Named> {
    Input::Ended { incarnation: Incarnation(3), why: "bang".to_owned(), aborted: 2 }
}

fn due() -> Input<Named> {
    Input::Due(Incarnation(3))
}

fn gone(what: Gone) -> Input<Named> {
    Input::Gone(Incarnation(3), what)
}

fn shut_down() -> Input<Named> {
    Input::ShutDown(GRACE)
}

/// The third life of an emitter, in these words.
fn lives(words: &str) -> Option<Lives<Named>> {
    let stopping = |then| Life::Stopping { then, waiting: vec![Call::Restart("waiting")] };
    let opening = |then| Life::Opening { then, waiting: vec![Call::Restart("waiting")] };
    let (keep, discard) = (Backlog::Keep, Backlog::Discard);
    let pause = |leaves| Then::Pause { backlog: keep, gone: false, caller: Some(OTHER), leaves };
    let why = || "bang".into();
    let life = match words {
        "absent" => return None,
        "attaching" => opening(Goal::Attach),
        "reopening" => opening(Goal::Run),
        "reopening, paused" => opening(Goal::Pause { backlog: discard, gone: false }),
        "reopening, failed" => opening(Goal::Fail { why: why() }),
        "running" => Life::Running,
        "pausing" => stopping(pause(false)),
        "pausing, leaving" => stopping(pause(true)),
        "detaching" => stopping(Then::Detach(Some(OTHER))),
        "changing" => stopping(Then::Reopen(OTHER)),
        "shutting down" => stopping(Then::ShutDown),
        "restarting" => Life::Restarting { until: NOW, why: why() },
        "restarting later" => Life::Restarting { until: NOW + GRACE, why: why() },
        "paused" => Life::Paused { backlog: discard, gone: false },
        "failed" => Life::Failed { why: why() },
        "yielding" => stopping(Then::Yield { why: why() }),
        "elsewhere" => Life::Elsewhere { why: why() },
        _ => panic!("no life is called {words:?}"),
    };
    let crashes = None;
    Some(Lives { life, since: Duration::ZERO, incarnation: Incarnation(3), restarts: 0, crashes })
}

/// An emitter's life in words, as `lives` has them.
fn in_words(lives: Option<&Lives<Named>>) -> &'static str {
    match lives.map(|lives| &lives.life) {
        None => "absent",
        Some(Life::Opening { then: Goal::Attach, .. }) => "attaching",
        Some(Life::Opening { then: Goal::Run, .. }) => "reopening",
        Some(Life::Opening { then: Goal::Pause { .. }, .. }) => "reopening, paused",
        Some(Life::Opening { then: Goal::Fail { .. }, .. }) => "reopening, failed",
        Some(Life::Running) => "running",
        Some(Life::Stopping { then: Then::Pause { leaves: false, .. }, .. }) => "pausing",
        Some(Life::Stopping { then: Then::Pause { .. }, .. }) => "pausing, leaving",
        Some(Life::Stopping { then: Then::Detach(_), .. }) => "detaching",
        Some(Life::Stopping { then: Then::Reopen(_), .. }) => "changing",
        Some(Life::Stopping { then: Then::ShutDown, .. }) => "shutting down",
        Some(Life::Restarting { .. }) => "restarting",
        Some(Life::Paused { .. }) => "paused",
        Some(Life::Failed { .. }) => "failed",
        Some(Life::Stopping { then: Then::Yield { .. }, .. }) => "yielding",
        Some(Life::Elsewhere { .. }) => "elsewhere",
    }
}

/// An effect in a word or two.
fn word(effect: &Effect<Named>) -> String {
    let to = |caller: &Option<Named>| caller.map_or(String::new(), |to| format!(" {to}"));
    match effect {
        Effect::Open(caller) => format!("open {caller}"),
        Effect::Claim(caller) => format!("claim{}", to(caller)),
        Effect::Wake => "wake".to_owned(),
        Effect::Withdraw => "withdraw".to_owned(),
        Effect::Start(incarnation) => format!("start {incarnation}"),
        Effect::Hush => "hush".to_owned(),
        Effect::Drain(grace) => format!("drain {}s", grace.as_secs()),
        Effect::Arm(delay, incarnation) => format!("arm {}ms {incarnation}", delay.as_millis()),
        Effect::Disarm => "disarm".to_owned(),
        Effect::Rest(backlog) => format!("rest {backlog:?}").to_lowercase(),
        Effect::Resume(forgive) => format!("resume {forgive:?}").to_lowercase(),
        Effect::Retarget(caller) => format!("retarget {caller}"),
        Effect::Blame(why) => format!("blame {why}"),
        Effect::Keep(caller) => format!("keep{}", to(caller)),
        Effect::Remove => "remove".to_owned(),
        Effect::Forget(caller) => format!("forget{}", to(caller)),
        Effect::Leave { aborted } => format!("leave {aborted}"),
        Effect::Tell(event) => told(event).to_owned(),
        Effect::Answer(caller, Ok(())) => format!("ok {caller}"),
        Effect::Answer(caller, Err(refusal)) => format!("{} {caller}", refused(refusal)),
        Effect::Take(call) => match call {
            Call::Restart(caller) => format!("take {caller}"),
            other => panic!("{other:?}"),
        },
    }
}

fn told(event: &RuntimeEvent) -> &'static str {
    match event {
        RuntimeEvent::Attached { .. } => "Attached",
        RuntimeEvent::Restarted { .. } => "Restarted",
        RuntimeEvent::Paused { .. } => "Paused",
        RuntimeEvent::Detached { .. } => "Detached",
        RuntimeEvent::Gone { .. } => "Gone",
        RuntimeEvent::Crashed { .. } => "Crashed",
        RuntimeEvent::Failed { .. } => "Failed",
        RuntimeEvent::OwnedElsewhere { .. } => "OwnedElsewhere",
        other => panic!("{other:?}"),
    }
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Absent => "absent!".to_owned(),
        Refusal::Is(status) => format!("{status}!"),
        Refusal::Store(_) => "store!".to_owned(),
        Refusal::ShutDown => "shut down!".to_owned(),
    }
}

fn check(
    budget: &RestartBudget,
    table: impl IntoIterator<Item = (&'static str, Input<Named>, &'static str, &'static str)>,
) -> Result<(), IdError> {
    let emitter = EmitterId::new("a")?;
    for (before, input, after, effects) in table {
        let given = Given { emitter: &emitter, now: NOW, budget, backlog: Backlog::Discard };
        let context = format!("{before}: {input:?}");
        let (lives, done) = next(lives(before), input, given);
        assert_eq!(in_words(lives.as_ref()), after, "{context}");
        let done: Vec<String> = done.iter().map(word).collect();
        assert_eq!(done.join(", "), effects, "{context}");
    }
    Ok(())
}

/// The control calls, as they were observed on the original.
#[test]
fn calls_by_the_state_of_the_emitter() -> Result<(), IdError> {
    let detached = "remove, Detached, forget me";
    check(
        &RestartBudget::default(),
        [
            ("absent", attach(), "attaching", "open me"),
            ("absent", ensure(), "attaching", "open me"),
            ("absent", restart(), "absent", "absent! me"),
            ("absent", pause(), "absent", "ok me"),
            ("absent", detach(), "absent", "forget me"),
            ("running", attach(), "running", "running! me"),
            ("running", ensure(), "running", "retarget me"),
            ("running", ensure_anew(), "changing", "hush, drain 7s"),
            ("running", restart(), "running", "running! me"),
            ("running", pause(), "pausing", "hush, drain 0s"),
            ("running", detach(), "detaching", "hush, drain 0s"),
            ("paused", attach(), "paused", "paused! me"),
            ("paused", ensure(), "paused", "retarget me"),
            ("paused", ensure_anew(), "reopening, paused", "open me"),
            ("paused", restart(), "running", "resume all, Restarted, start 4, keep me"),
            ("paused", pause(), "paused", "ok me"),
            ("paused", pause_with(Some(Backlog::Keep), GRACE), "paused", "rest keep, keep me"),
            ("paused", detach(), "absent", detached),
            ("restarting", attach(), "restarting", "restarting! me"),
            ("restarting", ensure(), "restarting", "retarget me"),
            ("restarting", ensure_anew(), "reopening", "disarm, open me"),
            ("restarting", restart(), "restarting", "restarting! me"),
            ("restarting", pause(), "paused", "disarm, rest discard, Paused, keep me"),
            ("restarting", detach(), "absent", "disarm, remove, Detached, forget me"),
            ("failed", attach(), "failed", "failed! me"),
            ("failed", ensure(), "failed", "retarget me"),
            ("failed", ensure_anew(), "reopening, failed", "open me"),
            ("failed", restart(), "running", "resume waits, Restarted, start 4, keep me"),
            ("failed", pause(), "paused", "rest discard, Paused, keep me"),
            ("failed", detach(), "absent", detached),
        ],
    )
}

#[test]
fn calls_between_two_lives_wait_and_hasten_a_drain() -> Result<(), IdError> {
    let between = ["attaching", "reopening", "pausing", "detaching", "changing"];
    let calls = [attach, ensure, ensure_anew, restart];
    let rows = between.into_iter().flat_map(|life| calls.map(|call| (life, call(), life, "")));
    check(&RestartBudget::default(), rows)?;
    check(
        &RestartBudget::default(),
        [
            ("pausing", pause_with(None, GRACE), "pausing", ""),
            ("pausing", pause(), "pausing", "drain 0s"),
            ("changing", detach(), "changing", "drain 0s"),
            ("reopening", detach(), "reopening", ""),
        ],
    )
}

#[test]
fn places_that_are_open_or_cannot_be() -> Result<(), IdError> {
    let lost = "remove, Failed, store! other, take waiting";
    check(
        &RestartBudget::default(),
        [
            ("attaching", opened(), "running", "Attached, start 4, ok other, take waiting"),
            ("attaching", not_opened(), "absent", "withdraw, store! other, take waiting"),
            ("reopening", opened(), "running", "start 4, ok other, take waiting"),
            ("reopening", not_opened(), "absent", lost),
            ("reopening, paused", opened(), "paused", "rest discard, ok other, take waiting"),
            ("reopening, failed", opened(), "failed", "rest keep, ok other, take waiting"),
            ("reopening, failed", not_opened(), "absent", lost),
            ("absent", opened(), "absent", "shut down! other"),
            ("absent", Input::Restored(None), "running", "Attached, start 1"),
            ("absent", Input::Restored(Some(Backlog::Keep)), "paused", "Attached, rest keep"),
        ],
    )
}

#[test]
fn an_end_is_a_crash_unless_it_was_told_to_end() -> Result<(), IdError> {
    check(
        &RestartBudget::default(),
        [
            ("running", ended(), "restarting", "hush, blame bang, arm 10ms 3, Crashed"),
            ("pausing", ended(), "paused", "rest keep, Paused, keep other, take waiting"),
            ("detaching", ended(), "absent", "remove, Detached, forget other, take waiting"),
            ("changing", ended(), "reopening", "open other"),
            ("shutting down", ended(), "absent", "leave 2, take waiting"),
            (
                "pausing, leaving",
                ended(),
                "absent",
                "rest keep, Paused, keep other, leave 2, take waiting",
            ),
            ("restarting", due(), "running", "start 4"),
            ("restarting later", due(), "restarting", ""),
        ],
    )?;
    let none = RestartBudget::new(0, GRACE);
    check(&none, [("running", ended(), "failed", "hush, blame bang, rest keep, Failed")])
}

#[test]
fn receivers_that_are_gone() -> Result<(), IdError> {
    check(
        &RestartBudget::default(),
        [
            ("running", gone(Gone::Detach), "detaching", "Gone, hush, drain 0s"),
            ("running", gone(Gone::Pause), "pausing", "Gone, hush, drain 0s"),
            ("pausing", gone(Gone::Detach), "pausing", ""),
            ("paused", gone(Gone::Detach), "paused", ""),
            ("absent", gone(Gone::Detach), "absent", ""),
        ],
    )
}

#[test]
fn an_emitter_that_another_owner_has() -> Result<(), IdError> {
    let fenced = || JournalError::new(ErrorKind::Fenced, "another reader has it");
    let free = |caller| Input::Claimed(caller, Ok(()));
    let taken = |caller| Input::Claimed(caller, Err(fenced()));
    let detached = Err(JournalError::new(ErrorKind::Refused, "there is none"));
    let lost = || Input::Lost(Incarnation(3), "bang".to_owned());
    check(
        &RestartBudget::default(),
        [
            ("running", lost(), "yielding", "hush, drain 0s"),
            ("running", Input::Moved, "running", "wake"),
            ("running", free(Some(ME)), "running", "running! me"),
            ("yielding", ended(), "elsewhere", "OwnedElsewhere, arm 5000ms 3, take waiting"),
            ("yielding", shut_down(), "shutting down", "shut down! waiting, drain 7s"),
            ("paused", lost(), "paused", ""),
            ("paused", Input::Moved, "paused", ""),
            (
                "attaching",
                Input::Opened(OTHER, Err(fenced())),
                "elsewhere",
                "Attached, OwnedElsewhere, arm 5000ms 3, ok other, take waiting",
            ),
            (
                "reopening",
                Input::Opened(OTHER, Err(fenced())),
                "elsewhere",
                "OwnedElsewhere, arm 5000ms 3, ok other, take waiting",
            ),
            ("elsewhere", due(), "elsewhere", "claim"),
            ("elsewhere", Input::Moved, "elsewhere", "disarm, claim"),
            ("elsewhere", free(None), "running", "disarm, start 4"),
            ("elsewhere", free(Some(ME)), "running", "disarm, start 4, ok me"),
            ("elsewhere", taken(None), "elsewhere", "disarm, arm 5000ms 3"),
            ("elsewhere", taken(Some(ME)), "elsewhere", "disarm, arm 5000ms 3, store! me"),
            ("elsewhere", Input::Claimed(None, detached), "absent", "disarm, remove, Detached"),
            ("elsewhere", attach(), "elsewhere", "elsewhere! me"),
            ("elsewhere", ensure(), "elsewhere", "retarget me"),
            ("elsewhere", ensure_anew(), "reopening", "disarm, open me"),
            ("elsewhere", pause(), "elsewhere", "store! me"),
            ("elsewhere", restart(), "elsewhere", "disarm, claim me"),
            ("elsewhere", detach(), "absent", "disarm, remove, Detached, forget me"),
            ("elsewhere", shut_down(), "absent", "disarm, leave 0"),
            ("absent", free(Some(ME)), "absent", "shut down! me"),
        ],
    )
}

#[test]
fn a_shutdown_refuses_who_waits_and_lets_what_was_begun_end() -> Result<(), IdError> {
    check(
        &RestartBudget::default(),
        [
            ("absent", shut_down(), "absent", ""),
            ("attaching", shut_down(), "absent", "shut down! waiting, withdraw"),
            ("reopening", shut_down(), "absent", "shut down! waiting, leave 0"),
            ("running", shut_down(), "shutting down", "hush, drain 7s"),
            ("pausing", shut_down(), "pausing, leaving", "shut down! waiting, drain 7s"),
            ("detaching", shut_down(), "detaching", "shut down! waiting, drain 7s"),
            (
                "changing",
                shut_down(),
                "shutting down",
                "shut down! waiting, drain 7s, shut down! other",
            ),
            ("restarting", shut_down(), "absent", "disarm, leave 0"),
            ("paused", shut_down(), "absent", "leave 0"),
            ("failed", shut_down(), "absent", "leave 0"),
        ],
    )
}

#[test]
fn words_of_an_earlier_life_change_nothing() -> Result<(), IdError> {
    let earlier = Incarnation(2);
    let late = || {
        let end = Input::Ended { incarnation: earlier, why: "late".to_owned(), aborted: 0 };
        [end, Input::Due(earlier), Input::Gone(earlier, Gone::Detach)]
    };
    let lives = ["running", "pausing", "restarting", "paused", "failed", "attaching", "absent"];
    let rows = lives.into_iter().flat_map(|life| late().map(|input| (life, input, life, "")));
    check(&RestartBudget::default(), rows)
}

#[test]
fn a_life_is_shown_with_its_reason_and_since_when() -> Result<(), IdError> {
    let emitter = EmitterId::new("a")?;
    let budget = RestartBudget::default();
    let given = Given { emitter: &emitter, now: NOW, budget: &budget, backlog: Backlog::Keep };
    for (before, input, status, reason, since) in [
        ("absent", attach(), Status::Opening, Some("it is being attached"), NOW),
        ("attaching", opened(), Status::Running, None, NOW),
        ("running", attach(), Status::Running, None, Duration::ZERO),
        ("running", pause(), Status::Stopping, Some("it is being paused"), NOW),
        ("running", detach(), Status::Stopping, Some("it is being detached"), NOW),
        (
            "running",
            ensure_anew(),
            Status::Stopping,
            Some("it is getting another subscription"),
            NOW,
        ),
        ("running", shut_down(), Status::Stopping, Some("the runtime shuts down"), NOW),
        (
            "running",
            gone(Gone::Pause),
            Status::Stopping,
            Some("its receiver answered 410: it wants no more"),
            NOW,
        ),
        ("running", ended(), Status::Restarting, Some("bang"), NOW),
        ("pausing", ended(), Status::Paused, None, NOW),
        ("paused", pause_with(Some(Backlog::Keep), GRACE), Status::Paused, None, Duration::ZERO),
        ("failed", attach(), Status::Failed, Some("bang"), Duration::ZERO),
    ] {
        let context = format!("{before}: {input:?}");
        let (Some(lives), _) = next(lives(before), input, given) else { panic!("{context}") };
        let shown = (lives.life.status(), lives.life.reason(), lives.since);
        assert_eq!(shown, (status, reason, since), "{context}");
    }
    Ok(())
}
