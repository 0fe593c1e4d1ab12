//! Looks an audit table through for what it can't promise, and what it misses.

use tokio_postgres::Client;

use super::AuditTable;
use super::audited::{Audited, alike, audited};
use super::shape::Shape;
use crate::error::DatabaseError;
use crate::install::find;
use crate::table::literal;

/// The warning about a table whose rows have no numbers.
pub(super) const NO_ORDER: &str = "the order of a record's changes can't be promised: the table \
    has no column position that numbers its rows as they are written, so that of two transactions \
    that overlapped the wrong one may come first; AuditTable::install, or `bugle relay install \
    --audit-table` with its name, adds one";

/// The most waiting rows that are looked at for their tables.
const LOOKED_AT: u32 = 10_000;

impl AuditTable {
    /// Lists warnings for an operator, each a sentence: that the order of changes can't be
    /// promised, that a followed table is not audited any more, as when it was renamed, that rows
    /// of others wait, that triggers are switched off, that an audited table has lost its `id`, or
    /// has columns that come out alike. A relay looks when it connects, and each minute. Where the
    /// table is missing, there are none.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database refuses to look.
    pub async fn warnings(&self, client: &Client) -> Result<Vec<String>, DatabaseError> {
        let Some(found) = find(client, &self.table).await? else { return Ok(Vec::new()) };
        let shape = Shape::of(&found);
        let mut warnings = Vec::new();
        if !shape.numbered {
            warnings.push(NO_ORDER.to_owned());
        }
        let audited = audited(client, &found.name).await?;
        let is_audited = |name: &str| audited.iter().any(|table| table.name.name() == name);
        warnings.extend(audited.iter().flat_map(trouble));
        let gone = self.only.iter().filter(|name| !audited.is_empty() && !is_audited(name));
        warnings.extend(gone.map(|name| {
            format!(
                "no table {name:?} is audited into {}: was it renamed or dropped? Install the \
                 audit for the table, and follow it by its name",
                found.name
            )
        }));
        if !self.only.is_empty() {
            let followed: Vec<String> = self.only.iter().map(|name| literal(name)).collect();
            let others = format!(
                "select distinct table_name::text from (
                   select table_name from {} where {} and table_name not in ({}) limit {LOOKED_AT}
                 ) waiting order by 1",
                found.name.quoted(),
                shape.pending(),
                followed.join(", ")
            );
            for row in client.query(&others, &[]).await? {
                let name: String = row.get(0);
                let why = if audited.is_empty() || is_audited(&name) {
                    "which is not followed."
                } else {
                    "as no audited table is called: was it renamed?"
                };
                warnings.push(format!(
                    "rows wait under the name {name:?}, {why} Follow it too, or mark them as \
                     processed"
                ));
            }
        }
        Ok(warnings)
    }
}

/// Lists the faults of an audited table, each a sentence.
fn trouble(table: &Audited) -> Vec<String> {
    let (name, mut trouble) = (&table.name, Vec::new());
    if table.is_partial {
        trouble.push(format!(
            "a trigger of table {name} is switched off or missing, so some of its changes are not \
             audited: install the audit again, or `alter table … enable trigger`"
        ));
    }
    if !table.columns.iter().any(|column| column == "id") {
        trouble.push(format!(
            "table {name} has no column \"id\" any more: its changes are set aside, as no record \
             is named by them"
        ));
    }
    if let Some((one, other, in_event)) = alike(&table.columns) {
        trouble.push(format!(
            "the columns {one:?} and {other:?} of table {name} are both {in_event:?} in an event: \
             its changes are set aside"
        ));
    }
    trouble
}
