//! Sends audited tables to webhooks: whichever program changes a table, its receivers get the
//! change, with its author and the row before it.
//!
//! ```sh
//! docker run --rm -d -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres   # or one of yours
//! export DATABASE_URL=postgres://postgres@localhost:5432/postgres
//! cargo run -p bugle-examples --example audited_tables
//! ```
//!
//! It works in a schema of its own, `bugle_example`, and removes it. It prints:
//!
//! ```text
//! member.created   Member 1 by user-7: {"fullName":"Ada Byron","id":1}
//! member.updated   Member 1 by nobody: {"fullName":"Ada Lovelace","id":1}, before {"fullName":"…
//! invoice.created  Invoice 12 by nobody: {"id":12,"memberId":1,"total":99.90}
//! member.deleted   Member 1 by nobody: {"fullName":"Ada Lovelace","id":1}, before {"fullName":"…
//! the relay marked 4 rows, each when its event was safe in the journal
//! ```

use std::error::Error;
use std::time::Duration;

use bugle::events::ChangeEvent;
use bugle::{EmitterConfig, Runtime, Secret, Store};
use bugle_postgres::audit::set_context;
use bugle_postgres::{AuditTable, Database, Relay};
use bugle_testkit::Receiver;

const TABLES: &str = "
    drop schema if exists bugle_example cascade;
    create schema bugle_example;
    create table bugle_example.member (id bigint primary key, full_name text);
    create table bugle_example.invoice (id bigint primary key, member_id bigint, total numeric);";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| {
        "set DATABASE_URL to a PostgreSQL's, as postgres://user:password@localhost:5432/database; \
         this program's first comment says how to get one"
    })?;
    let database = Database::new(&url)?;
    let mut connection = database.connect().await?;
    connection.batch_execute(TABLES).await?;

    // Once, by a user who may create triggers; `plan_install` shows the SQL instead.
    let audit = AuditTable::new("bugle_example.audit")?;
    audit.install(&connection, ["bugle_example.member", "bugle_example.invoice"]).await?;

    // The customer's server.
    let receiver = Receiver::start()?;
    // On disk, because a row is marked as soon as the journal has its event.
    let directory = tempfile::tempdir()?;
    let runtime = Runtime::builder().store(Store::open(directory.path())?).start().await?;
    let config = EmitterConfig::new(receiver.url("/hooks"))?
        .secret(Secret::generate()?)
        .allow_private_destinations();
    runtime.attach_many("crm", ["member.*", "invoice.created"], config).await?;
    let relay = Relay::builder(database, audit).start(&runtime);

    // A service that names the user it works for…
    let mut transaction = connection.transaction().await?;
    set_context(&mut transaction, Some("user-7"), None).await?;
    transaction.batch_execute("insert into bugle_example.member values (1, 'Ada Byron')").await?;
    transaction.commit().await?;
    // … and somebody at a console, who knows nothing of the audit.
    connection
        .batch_execute(
            "update bugle_example.member set full_name = 'Ada Lovelace' where id = 1;
             insert into bugle_example.invoice values (12, 1, 99.90);
             delete from bugle_example.member where id = 1;",
        )
        .await?;

    receiver.wait_for(4, Duration::from_secs(30)).await?;
    for request in receiver.requests() {
        let ChangeEvent { event_name, identity_id, target, .. } =
            serde_json::from_slice(&request.body)?;
        let who = identity_id.as_deref().unwrap_or("nobody");
        let data = serde_json::to_string(&target.data)?;
        let before = match &target.previous_data {
            Some(previous) => format!(", before {}", serde_json::to_string(previous)?),
            None => String::new(),
        };
        println!("{event_name:<16} {} {} by {who}: {data}{before}", target.kind, target.id);
    }
    let status = relay.wait_until(|status| status.marked == 4).await;
    println!(
        "the relay marked {} rows, each when its event was safe in the journal",
        status.marked
    );

    relay.shutdown(Duration::from_secs(5)).await;
    runtime.shutdown(Duration::from_secs(5)).await;
    connection.batch_execute("drop schema bugle_example cascade").await?;
    Ok(())
}
