//! What every [`EmitterSpecs`] does.

use std::sync::Arc;

use bugle_core::stored::StoredConfig;
use bugle_core::{
    Backlog, Desired, EmitterConfig, EmitterId, EmitterSpec, EmitterSpecs, Order, RetryPolicy,
    Secret, Subscription,
};
use jiff::Timestamp;

use super::{MakeStore, specs_of};

/// Makes a `#[test]` of each check of [`specs`](crate::conformance::specs). It takes an
/// `async fn(()) -> Arc<dyn EmitterSpecs>` that makes a new store without a spec.
#[macro_export]
macro_rules! emitter_specs_conformance {
    ($make:expr) => {
        $crate::__conformance_tests! { specs, $make,
            a_new_store_has_none
            a_spec_is_kept_as_it_was
            specs_are_sorted_by_id
            the_last_call_stands
            a_removed_one_is_gone
            what_nobody_waits_for_is_kept_too
            concurrent_calls_lose_nothing
        }
    };
}

fn id(emitter: &str) -> EmitterId {
    EmitterId::new(emitter).unwrap()
}

fn spec(emitter: &str, names: &[&str], url: &str) -> EmitterSpec {
    let config = EmitterConfig::new(url).unwrap();
    EmitterSpec::new(id(emitter), Subscription::new(names).unwrap(), config)
}

async fn ids(specs: &Arc<dyn EmitterSpecs>) -> Vec<String> {
    specs.all().await.unwrap().iter().map(|spec| spec.id.to_string()).collect()
}

fn assert_same(one: &EmitterSpec, other: &EmitterSpec) {
    assert_eq!(one.id, other.id);
    assert_eq!(one.subscription, other.subscription);
    assert_eq!((one.desired, one.backlog), (other.desired, other.backlog));
    let [one, other] = [one, other].map(|it| StoredConfig::write(&it.config).unwrap());
    assert!(one == other, "the configuration is another one");
}

/// It begins empty, and to remove what is not there is no error.
pub async fn a_new_store_has_none(make: &MakeStore) {
    let Some(specs) = specs_of(make).await else { return };
    assert_eq!(ids(&specs).await, [""; 0]);
    specs.remove(&id("nobody")).await.unwrap();
    assert_eq!(ids(&specs).await, [""; 0]);
}

/// With all its keys, and whether it runs.
pub async fn a_spec_is_kept_as_it_was(make: &MakeStore) {
    let Some(specs) = specs_of(make).await else { return };
    let old = Secret::plain("whsec_ but plain").unwrap().expires_at(Timestamp::MAX);
    let config = EmitterConfig::new("https://example.com/hooks?token=7")
        .unwrap()
        .secret(old)
        .secret(Secret::symmetric(&[7; 32]).unwrap())
        .secret(Secret::private(&[9; 32]))
        .header("authorization", "Bearer \u{1F511}")
        .retry(RetryPolicy::patient().jitter(0.1))
        .order(Order::PerKey { window: 17 })
        .allow_private_destinations();
    let wanted = Subscription::new(["invoice.>", "member.*", "a"]).unwrap();
    let running = EmitterSpec::new(id("a \u{1F3BA} \" ' ;"), wanted, config);
    let keeping = spec("keeping", &["a"], "http://a").paused(Backlog::Keep);
    let discarding = spec("x", &[">"], "http://b").paused(Backlog::Discard);
    for spec in [&running, &keeping, &discarding] {
        specs.put(spec.clone()).await.unwrap();
    }
    let all = specs.all().await.unwrap();
    assert_eq!(all.len(), 3);
    for (one, other) in all.iter().zip([&running, &keeping, &discarding]) {
        assert_same(one, other);
    }
}

/// Whatever the order they came in.
pub async fn specs_are_sorted_by_id(make: &MakeStore) {
    let Some(specs) = specs_of(make).await else { return };
    for emitter in ["c", "a", "b10", "b2", "B"] {
        specs.put(spec(emitter, &["a"], "http://a")).await.unwrap();
    }
    assert_eq!(ids(&specs).await, ["B", "a", "b10", "b2", "c"]);
}

/// One after the other, and handed over all at once.
pub async fn the_last_call_stands(make: &MakeStore) {
    let Some(specs) = specs_of(make).await else { return };
    specs.put(spec("one", &["a"], "http://first")).await.unwrap();
    let last = spec("one", &["b"], "http://second").paused(Backlog::Keep);
    specs.put(last.clone()).await.unwrap();
    assert_same(&specs.all().await.unwrap()[0], &last);

    let puts: Vec<_> =
        (0..50).map(|n| specs.put(spec("one", &["a"], &format!("http://{n}")))).collect();
    let removed = specs.remove(&id("one"));
    let last = specs.put(spec("one", &["c"], "http://last"));
    for put in puts.into_iter().chain([removed, last]) {
        put.await.unwrap();
    }
    let all = specs.all().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_same(&all[0], &spec("one", &["c"], "http://last"));
}

/// And another one of the same id may follow.
pub async fn a_removed_one_is_gone(make: &MakeStore) {
    let Some(specs) = specs_of(make).await else { return };
    for emitter in ["one", "two"] {
        specs.put(spec(emitter, &["a"], "http://a")).await.unwrap();
    }
    specs.remove(&id("one")).await.unwrap();
    assert_eq!(ids(&specs).await, ["two"]);
    specs.put(spec("one", &["b"], "http://b")).await.unwrap();
    assert_same(&specs.all().await.unwrap()[0], &spec("one", &["b"], "http://b"));
}

/// It is handed over when the call returns.
pub async fn what_nobody_waits_for_is_kept_too(make: &MakeStore) {
    let Some(specs) = specs_of(make).await else { return };
    specs.put(spec("gone", &["a"], "http://a")).await.unwrap();
    drop(specs.remove(&id("gone")));
    drop(specs.put(spec("one", &["a"], "http://a")));
    // What follows is safe only when what was before is.
    specs.put(spec("two", &["a"], "http://a")).await.unwrap();
    assert_eq!(ids(&specs).await, ["one", "two"]);
}

/// Many tasks, each with emitters of its own.
pub async fn concurrent_calls_lose_nothing(make: &MakeStore) {
    let Some(specs) = specs_of(make).await else { return };
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let specs = Arc::clone(&specs);
            tokio::spawn(async move {
                for n in 0..20 {
                    let emitter = format!("{task}-{n:02}");
                    specs.put(spec(&emitter, &["a"], "http://a")).await.unwrap();
                    if n % 2 == 1 {
                        specs.remove(&id(&emitter)).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = specs.all().await.unwrap();
    assert_eq!(all.len(), 80);
    assert!(all.iter().all(|spec| spec.desired == Desired::Running));
}
