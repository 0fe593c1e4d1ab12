//! Specs outlive the store that they were put into, and go with their emitter.

use std::time::{Duration, Instant};

use bugle_core::{
    Backlog, EmitterConfig, EmitterSpec, Secret, Settlement, SpecError, Subscription,
};
use bugle_store::{SqliteOptions, Store};
use bugle_testkit::conformance::run;
use tempfile::TempDir;

use crate::support::{database, event, id, open, read};

const KEY: &str = "hunter2-in-clear";

fn spec(emitter: &str) -> EmitterSpec {
    let config = EmitterConfig::new(format!("https://{emitter}.example"))
        .unwrap()
        .secret(Secret::parse(KEY).unwrap());
    EmitterSpec::new(id(emitter), Subscription::new(["a", "b.>"]).unwrap(), config)
}

#[test]
fn they_are_there_when_the_store_is_opened_again() {
    run(async {
        let directory = TempDir::new().unwrap();
        {
            let store = Store::open(directory.path()).unwrap();
            let specs = store.specs().unwrap();
            specs.put(spec("one")).await.unwrap();
            specs.put(spec("two").paused(Backlog::Discard)).await.unwrap();
            // Nobody waits for it, and the store is closed at once.
            drop(specs.put(spec("three")));
            assert!(!format!("{specs:?} {store:?}").contains(KEY));
        }
        let store = Store::open(directory.path()).unwrap();
        let all = store.specs().unwrap().all().await.unwrap();
        let ids: Vec<&str> = all.iter().map(|spec| spec.id.as_str()).collect();
        assert_eq!(ids, ["one", "three", "two"]);
        assert_eq!(all[2].backlog, Backlog::Discard);
        assert_eq!(all[0].config.secrets[0].reveal(), KEY);
        assert!(!format!("{all:?}").contains(KEY));
    });
}

#[test]
fn to_forget_an_emitter_removes_its_spec() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let specs = store.specs().unwrap();
        for emitter in ["one", "two"] {
            open(&store, emitter, &["a"]).await;
            specs.put(spec(emitter)).await.unwrap();
        }
        store.journal().forget(&id("one")).await.unwrap();
        assert_eq!(specs.all().await.unwrap().len(), 1);
        let rows = |table: &str| -> i64 {
            let count = format!("SELECT count(*) FROM {table}");
            database(directory.path()).query_row(&count, [], |row| row.get(0)).unwrap()
        };
        assert_eq!((rows("specs"), rows("places")), (1, 1));
        // Without a place there is no spec, whatever came last.
        drop(specs.put(spec("two")));
        store.journal().forget(&id("two")).await.unwrap();
        assert_eq!((rows("specs"), rows("places")), (0, 0));
    });
}

#[test]
fn one_that_cannot_be_read_is_named_and_not_repeated() {
    run(async {
        for (column, value) in [
            ("config", "{\"version\":7}"),
            ("config", "hunter2"),
            ("subscription", "[]"),
            ("desired", "gone"),
        ] {
            let directory = TempDir::new().unwrap();
            let store = Store::open(directory.path()).unwrap();
            let specs = store.specs().unwrap();
            specs.put(spec("one")).await.unwrap();
            specs.put(spec("two")).await.unwrap();
            let update = format!(
                "UPDATE specs SET {column} = ?1 WHERE emitter = \
                 (SELECT key FROM emitters WHERE id = 'two')"
            );
            assert_eq!(database(directory.path()).execute(&update, [value]), Ok(1));
            let error = specs.all().await.unwrap_err();
            let SpecError::Unreadable { emitter, .. } = &error else { panic!("{error}") };
            assert_eq!(emitter, "two");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            // What stands there is replaced.
            specs.put(spec("two")).await.unwrap();
            assert_eq!(specs.all().await.unwrap().len(), 2);
        }
    });
}

/// Who put it is told of the full disk, and it is written as soon as there is space.
#[test]
fn a_full_disk_keeps_them_waiting() {
    run(async {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions::new().max_file_bytes(4 << 20).settled_events(0);
        let store = Store::open_with(directory.path(), options).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let specs = store.specs().unwrap();
        while store.journal().append(event("a", 30)).await.is_ok() {}
        // More than the log has left for the database.
        let mut large = spec("large");
        large.config =
            large.config.as_ref().clone().header("x-large", "x".repeat(1_500_000)).into();
        let error = specs.put(large).await.unwrap_err();
        assert!(error.message.contains("no space is left for"), "{error}");
        assert_eq!(specs.all().await.unwrap().len(), 0);
        for sequence in read(&one).await {
            drop(one.settle(sequence, Settlement::Delivered));
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while specs.all().await.unwrap().is_empty() {
            assert!(Instant::now() < deadline, "space comes back");
            let _ = store.journal().flush().await;
        }
        assert_eq!(specs.all().await.unwrap()[0].config.headers[0].1.len(), 1_500_000);
    });
}

#[cfg(unix)]
#[test]
fn nobody_but_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    run(async move {
        let base = TempDir::new().unwrap();
        let directory = base.path().join("made/by/us");
        let store = Store::open(&directory).unwrap();
        store.specs().unwrap().put(spec("one")).await.unwrap();
        assert_eq!((mode(&base.path().join("made")), mode(&directory)), (0o700, 0o700));
        let files = |directory: &std::path::Path| {
            let entries = std::fs::read_dir(directory).unwrap();
            let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files
        };
        assert!(files(&directory).len() >= 4, "{:?}", files(&directory));
        store.journal().append(event("a", 1)).await.unwrap();
        let segments = directory.join("segments");
        assert_eq!(mode(&segments), 0o700);
        for file in files(&directory).into_iter().chain(files(&segments)) {
            if file.is_file() {
                assert_eq!(mode(&file), 0o600, "{}", file.display());
            }
        }
        drop(store);
        // A backup that was put back, say.
        let all =
            || files(&directory).into_iter().chain(files(&segments)).filter(|it| it.is_file());
        for file in all() {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        }
        let _store = Store::open(&directory).unwrap();
        for file in all() {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    });
}
