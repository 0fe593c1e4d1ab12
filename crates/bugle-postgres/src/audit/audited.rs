//! Finds tables whose changes can be events, and those whose changes are.

use bugle::events::{AuditRow, Change, ChangeError, ChangeEvent, Json};
use tokio_postgres::Client;

use crate::error::DatabaseError;
use crate::install::{Found, InstallError, find};
use crate::table::TableName;

/// A table that has an audit's triggers.
#[derive(Debug)]
pub(super) struct Audited {
    pub(super) name: TableName,
    pub(super) columns: Vec<String>,
    /// True when one of its triggers is switched off, or missing.
    pub(super) is_partial: bool,
}

/// Finds the tables that have the triggers of this audit table.
pub(super) async fn audited(
    client: &Client,
    audit: &TableName,
) -> Result<Vec<Audited>, DatabaseError> {
    const AUDITED: &str = "
        select quote_ident(n.nspname) || '.' || quote_ident(c.relname),
               array(select attname::text from pg_attribute
                     where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum),
               count(*) filter (where t.tgenabled in ('O', 'A')) < $2
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
             join pg_namespace n on n.oid = c.relnamespace
        where t.tgfoid = to_regproc($1) and not t.tgisinternal
        group by c.oid, n.nspname, c.relname order by c.oid";
    let function = audit.beside("_record").quoted();
    let all = i64::try_from(super::trigger::OPERATIONS.len()).unwrap_or(i64::MAX);
    let mut tables = Vec::new();
    for row in client.query(AUDITED, &[&function, &all]).await? {
        let name: String = row.get(0);
        let name = TableName::new(name).map_err(|error| DatabaseError::new(error.to_string()))?;
        tables.push(Audited { name, columns: row.get(1), is_partial: row.get(2) });
    }
    Ok(tables)
}

/// Checks that the changes of a table can be events. Changes that can't be seen are added to the
/// notes.
pub(super) async fn auditable(
    client: &Client,
    audit: &TableName,
    table: &TableName,
    notes: &mut Vec<String>,
) -> Result<Found, InstallError> {
    let found = find(client, table).await?;
    let found = found.ok_or_else(|| InstallError::NoSuchTable(table.clone()))?;
    let name = &found.name;
    if name == audit {
        return Err(InstallError::Itself(found.name));
    }
    if !found.is_table {
        return Err(InstallError::NotATable(found.name));
    }
    if !found.has("id") {
        return Err(InstallError::NoId(found.name));
    }
    if let Err(error) = ChangeEvent::name(name.name(), Change::Created) {
        let (table, reason) = (found.name, error.to_string());
        return Err(InstallError::NoEventName { table, reason });
    }
    if let Some((one, other, name)) = alike(&found.columns) {
        return Err(InstallError::Alike { table: found.name, one, other, name });
    }
    const PARTS: &str = "
        with recursive parts as (
          select inhrelid as part from pg_inherits where inhparent = $1
          union select i.inhrelid from pg_inherits i join parts p on i.inhparent = p.part)
        select (select p.oid::regclass::text
                from pg_inherits i join pg_class p on p.oid = i.inhparent
                where i.inhrelid = $1 limit 1),
               (select relispartition from pg_class where oid = $1),
               exists (select from parts), exists (
                 select from parts join pg_class c on c.oid = part where c.relkind = 'f'),
               exists (select from pg_index where indrelid = $1 and indisunique and indpred is null
                       and indnkeyatts = 1 and indkey[0] = (
                         select attnum from pg_attribute where attrelid = $1 and attname = 'id'))";
    let row = client.query_one(PARTS, &[&found.oid]).await?;
    let parent: Option<String> = row.get(0);
    let (is_partition, has_parts, has_foreign): (bool, bool, bool) =
        (row.get(1), row.get(2), row.get(3));
    if has_foreign {
        return Err(InstallError::HasForeignPartition(found.name));
    }
    if let Some(parent) = parent {
        if is_partition {
            return Err(InstallError::IsPartition(found.name, TableName::new(parent)?));
        }
        notes.push(format!(
            "{name} inherits from {parent}: its rows that are changed by statements that name \
             {parent} are not audited, unless {parent} is audited too"
        ));
    }
    if has_parts {
        notes.push(format!(
            "{name} has partitions or children: changes are audited when a statement names {name}, \
             and not when it names one of them"
        ));
    }
    if !row.get::<_, bool>(4) {
        notes.push(format!(
            "nothing makes the column id of {name} unique: the changes of a record are in order as \
             far as one row has its id, and no other"
        ));
    }
    Ok(found)
}

/// Finds the trigger, if there is one, by which somebody else writes the changes of a table to the
/// audit table: its function names it.
pub(super) async fn written_by_others(
    client: &Client,
    audit: &TableName,
    table: u32,
) -> Result<Option<String>, DatabaseError> {
    const OTHERS: &str = r"
        select t.tgname::text from pg_trigger t join pg_proc f on f.oid = t.tgfoid
        where t.tgrelid = $1 and not t.tgisinternal and t.tgfoid is distinct from to_regproc($2)
          and f.prosrc ~* ('\minsert\s+into\s+([\w\.]|\x22)*\m' || $3 || '\M') limit 1";
    let ours = audit.beside("_record").quoted();
    let escaped: String = audit.name().chars().flat_map(escape).collect();
    let row = client.query_opt(OTHERS, &[&table, &ours, &escaped]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Writes a character as a regular expression has it.
fn escape(character: char) -> impl Iterator<Item = char> {
    let is_word = character.is_alphanumeric() || character == '_';
    (!is_word).then_some('\\').into_iter().chain([character])
}

/// Finds two columns that would be one field of an event, and names that field.
pub(super) fn alike(columns: &[String]) -> Option<(String, String, String)> {
    let null = Json::parse("null").ok()?;
    let data = columns.iter().map(|column| (column.clone(), null.clone())).collect();
    let (table_name, op) = ("t".to_owned(), "insert".to_owned());
    match ChangeEvent::from_row(AuditRow { table_name, op, data, ..AuditRow::default() }) {
        Err(ChangeError::Columns { first, second, field }) => Some((first, second, field)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_come_out_alike_are_found() {
        let alike = |columns: &[&str]| {
            alike(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(alike(&["id", "first_name", "last_name"]), None);
        let found = alike(&["id", "foo_bar", "a", "fooBar"]);
        let texts = |one: &str, other: &str, name: &str| {
            Some((one.to_owned(), other.to_owned(), name.to_owned()))
        };
        assert_eq!(found, texts("fooBar", "foo_bar", "fooBar"));
        assert_eq!(alike(&["id", "_id"]), texts("_id", "id", "id"));
    }
}
