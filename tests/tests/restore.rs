//! Emitters outlive the process: they are restored as they were, or ensured by the next one.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use bugle::{
    AttachError, Backlog, EmitterConfig, Fate, HandlerConfig, Runtime, Secret, StartError, Status,
    Store, Timestamp, Verifier,
};
use bugle_testkit::Receiver;
use support::{DEADLINE, config, emit, fate, fates, status, within};

async fn start(directory: &Path, restore: bool) -> Result<Runtime, StartError> {
    let store = Store::open(directory).unwrap();
    Runtime::builder().store(store).restore_emitters(restore).start().await
}

/// Shuts down and closes the store, so that it can be opened again.
async fn end(runtime: Runtime) {
    let report = within("the shutdown", runtime.shutdown(Duration::from_secs(5))).await;
    assert_eq!(report.flush_error, None);
    drop(runtime);
}

fn ids(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(|it| it.request_id().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_emitter_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let at = |path: &str| config(&receiver.url(path));

    let runtime = start(directory.path(), true).await.unwrap();
    runtime.attach("running", "a.>", at("/running")).await.unwrap();
    runtime.attach("keeping", "a.>", at("/keeping")).await.unwrap();
    runtime.attach("discarding", "a.>", at("/discarding")).await.unwrap();
    runtime.attach("updated", "a.>", at("/old")).await.unwrap();
    runtime.attach("ensured", "b", at("/old")).await.unwrap();
    runtime.attach("restarted", "a.>", at("/restarted")).await.unwrap();
    runtime.attach("detached", "a.>", at("/detached")).await.unwrap();
    let takes = |_| async { Ok::<(), String>(()) };
    runtime.attach_handler("handler", ["a.>"], takes, HandlerConfig::default()).await.unwrap();
    runtime.attach("turned", "a.>", at("/turned")).await.unwrap();
    runtime.ensure_handler("turned", ["a.>"], takes, HandlerConfig::default()).await.unwrap();
    runtime.pause("keeping").await.unwrap();
    runtime.pause_with("discarding", Backlog::Discard).await.unwrap();
    runtime.update("updated", at("/new")).await.unwrap();
    runtime.ensure("ensured", ["a.*", "c"], at("/ensured")).await.unwrap();
    runtime.pause("restarted").await.unwrap();
    runtime.restart("restarted").await.unwrap();
    runtime.detach("detached").await.unwrap();
    emit(&runtime, "a.b", "1").await;
    receiver.wait_for(4, DEADLINE).await.unwrap();
    end(runtime).await;

    let runtime = start(directory.path(), true).await.unwrap();
    let described: Vec<_> = runtime
        .emitters()
        .into_iter()
        .map(|it| (it.id.to_string(), it.subscription.to_string(), it.status, it.depth))
        .collect();
    let row =
        |id: &str, wanted: &str, status, depth| (id.to_owned(), wanted.to_owned(), status, depth);
    assert_eq!(
        described,
        [
            row("discarding", "a.>", Status::Paused, 0),
            row("ensured", "a.*, c", Status::Running, 0),
            row("keeping", "a.>", Status::Paused, 1),
            row("restarted", "a.>", Status::Running, 0),
            row("running", "a.>", Status::Running, 0),
            row("updated", "a.>", Status::Running, 0),
        ]
    );
    let second = emit(&runtime, "a.b", "2").await;
    runtime.restart("keeping").await.unwrap();
    runtime.restart("discarding").await.unwrap();
    emit(&runtime, "a.b", "3").await;
    let settled = fates(&second).await;
    let dropped: Vec<_> =
        settled.iter().filter(|(_, fate)| *fate != Some(Fate::Delivered)).collect();
    assert_eq!(dropped, [&("discarding".to_owned(), Some(Fate::Dropped))]);
    // The running emitters got all three, except for the first that went to the path or handler
    // before.
    receiver.wait_for(4 + 5 + 1 + 6, DEADLINE).await.unwrap();
    let mut paths: Vec<String> = receiver.requests().iter().map(|it| it.path.clone()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths, ["/discarding", "/ensured", "/keeping", "/new", "/restarted", "/running"]);
    let at_keeping: Vec<_> =
        receiver.requests().into_iter().filter(|it| it.path == "/keeping").collect();
    let at_keeping: Vec<_> = at_keeping.iter().map(|it| it.request_id().unwrap()).collect();
    assert_eq!(at_keeping, ["1", "2", "3"], "what was kept comes first");
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_emitter_signs_with_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let (private, public) = Secret::generate_signing_key().unwrap();
    let symmetric = Secret::generate().unwrap();
    let keys = || config(&receiver.url("/")).secret(symmetric.clone()).secret(private.clone());
    let plain = Secret::plain("supersecret").unwrap();

    let runtime = start(directory.path(), true).await.unwrap();
    runtime
        .attach("billing", "a", keys().secret(plain.clone()).header("x-token", "t"))
        .await
        .unwrap();
    end(runtime).await;
    let runtime = start(directory.path(), true).await.unwrap();
    let receipt = emit(&runtime, "a", "1").await;
    assert_eq!(fate(&receipt).await, Some(Fate::Delivered));
    let request = &receiver.requests()[0];
    let signatures = request.header("webhook-signature").unwrap();
    assert!(signatures.contains("v1,") && signatures.contains("v1a,"), "{signatures}");
    assert_eq!(request.header("x-token"), Some("t"));
    for key in [public, symmetric.verifying_key(), plain.verifying_key()] {
        let verifier = Verifier::new([key]);
        verifier.verify(|name| request.header(name), &request.body, Timestamp::now()).unwrap();
    }
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_restored_is_named_and_left_as_it_is() {
    const KEY: &str = "hunter2-in-clear";
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let runtime = start(directory.path(), false).await.unwrap();
    for id in ["fine", "odd"] {
        let config = config(&receiver.url("/")).secret(Secret::parse(KEY).unwrap());
        runtime.attach(id, "a", config).await.unwrap();
    }
    end(runtime).await;

    // The state that a newer version, or somebody with an editor, may have left.
    let spoil = |from: &str, to: &str| {
        let database = rusqlite::Connection::open(directory.path().join("bugle.db")).unwrap();
        let spoilt = database.execute(
            "UPDATE specs SET config = replace(config, ?1, ?2) WHERE emitter = \
             (SELECT key FROM emitters WHERE id = 'odd')",
            [from, to],
        );
        assert_eq!(spoilt, Ok(1));
    };
    for (from, to) in [
        ("\"url\"", "\"uri\""),
        ("\"request_timeout\":{\"secs\":5", "\"request_timeout\":{\"secs\":0"),
        ("\"version\":1", "\"version\":9"),
    ] {
        spoil(from, to);
        let error = start(directory.path(), true).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("\"odd\"") && !text.contains(KEY), "{from}: {text}");
        spoil(to, from);
    }
    // Without restoring it is attached as usual, and that replaces the spec that could not be read.
    spoil("\"url\"", "\"uri\"");
    let runtime = start(directory.path(), false).await.unwrap();
    assert_eq!(runtime.emitters().len(), 0);
    runtime.attach("odd", "a", config(&receiver.url("/"))).await.unwrap();
    end(runtime).await;
    let runtime = start(directory.path(), true).await.unwrap();
    assert_eq!(runtime.list_emitters().len(), 2);
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_ensure_keeps_the_cursor_also_with_another_subscription() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let boot = |names: &'static [&'static str]| {
        let (path, config) = (directory.path().to_owned(), config(&receiver.url("/")));
        async move {
            let runtime = start(&path, false).await.unwrap();
            runtime.ensure("billing", names, config).await.unwrap();
            runtime
        }
    };
    let runtime = boot(&["a", "b"]).await;
    fate(&emit(&runtime, "a", "1").await).await;
    runtime.pause("billing").await.unwrap();
    for (name, id) in [("b", "2"), ("c", "never"), ("a", "3")] {
        emit(&runtime, name, id).await;
    }
    end(runtime).await;

    // The next version of the service no longer wants one of them.
    let runtime = boot(&["b", "c"]).await;
    emit(&runtime, "a", "unwanted").await;
    emit(&runtime, "c", "4").await;
    let last = emit(&runtime, "b", "5").await;
    assert_eq!(fate(&last).await, Some(Fate::Delivered));
    assert_eq!(ids(&receiver), ["1", "2", "3", "4", "5"]);
    end(runtime).await;
}

/// Changes emitters in place, with an attempt in flight, and in each state.
async fn ensured_in_place(store: Store) {
    let receiver = Receiver::start().unwrap();
    let hold = receiver.hold();
    let at = |path: &str| config(&receiver.url(path));
    let runtime = Runtime::builder().store(store).start().await.unwrap();
    runtime.ensure("e", ["a", "b"], at("/one")).await.unwrap();
    assert!(matches!(
        runtime.attach("e", "a", at("/one")).await,
        Err(AttachError::AlreadyExists(_))
    ));
    let first = emit(&runtime, "a", "1").await;
    let second = emit(&runtime, "a", "2").await;
    receiver.wait_in_flight(1, DEADLINE).await.unwrap();
    // It waits for the attempt in flight.
    let ensuring = {
        let (runtime, config) = (runtime.clone(), at("/two"));
        tokio::spawn(async move { runtime.ensure("e", ["b", "c"], config).await })
    };
    drop(hold);
    within("ensure", ensuring).await.unwrap().unwrap();
    emit(&runtime, "a", "unwanted").await;
    let third = emit(&runtime, "c", "3").await;
    for receipt in [&first, &second, &third] {
        assert_eq!(fate(receipt).await, Some(Fate::Delivered));
    }
    assert_eq!(ids(&receiver), ["1", "2", "3"]);

    // A paused emitter stays paused, and a failed one failed.
    runtime.pause_with("e", Backlog::Keep).await.unwrap();
    emit(&runtime, "b", "4").await;
    runtime.ensure("e", ["d"], at("/three")).await.unwrap();
    assert_eq!(status(&runtime, "e"), Some(Status::Paused));
    emit(&runtime, "b", "unwanted").await;
    let last = emit(&runtime, "d", "5").await;
    runtime.restart("e").await.unwrap();
    assert_eq!(fate(&last).await, Some(Fate::Delivered));
    assert_eq!(ids(&receiver)[3..], ["4", "5"]);
    within("the shutdown", runtime.shutdown(Duration::from_secs(5))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_ensure_changes_an_emitter_in_place_in_memory() {
    ensured_in_place(Store::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_ensure_changes_an_emitter_in_place_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    ensured_in_place(Store::open(directory.path()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_meet_while_a_place_is_opened_are_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let runtime = start(directory.path(), true).await.unwrap();
    let at = |path: &str| config(&receiver.url(path));
    for round in 0..20 {
        let id = format!("e{round}");
        let (one, other) = tokio::join!(
            runtime.attach(&id, "a", at("/one")),
            runtime.attach(&id, "b", at("/other")),
        );
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        let name = if one.is_ok() { "a" } else { "b" };
        assert_eq!(fate(&emit(&runtime, name, "1").await).await, Some(Fate::Delivered));
        let (attached, detached) =
            tokio::join!(runtime.ensure(&id, ["c"], at("/one")), runtime.detach(&id));
        attached.unwrap();
        detached.unwrap();
        assert_eq!(status(&runtime, &id), None);
    }
    end(runtime).await;
    let runtime = start(directory.path(), true).await.unwrap();
    assert_eq!(runtime.emitters(), []);
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_emitters_come_back() {
    const COUNT: usize = 10_000;
    let directory = tempfile::tempdir().unwrap();
    let runtime = start(directory.path(), false).await.unwrap();
    let mut attaching = tokio::task::JoinSet::new();
    for n in 0..COUNT {
        let runtime = runtime.clone();
        attaching.spawn(async move {
            let config = EmitterConfig::new(format!("https://example.com/{n}")).unwrap();
            runtime.attach(format!("e{n}"), "a", config).await.unwrap();
        });
    }
    within("all", attaching.join_all()).await;
    end(runtime).await;
    let began = Instant::now();
    let runtime = start(directory.path(), true).await.unwrap();
    println!("{COUNT} emitters restored in {:?}", began.elapsed());
    assert_eq!(runtime.list_emitters().len(), COUNT);
    end(runtime).await;
}
