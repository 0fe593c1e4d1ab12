//! The statements that read and mark audit rows.

use super::shape::Shape;
use crate::table::literal;

/// Reads the columns of a row `a`, and of the record's row before it.
fn read(shape: Shape) -> String {
    let position = if shape.numbered { "a.position" } else { "null::bigint" };
    let traceparent = if shape.has_traceparent { "a.traceparent" } else { "null::text" };
    let texts = |texts: &[&str]| {
        let one = |text: &&str| match shape.raw {
            true => format!("convert_to({text}, 'SQL_ASCII')"),
            false => (*text).to_owned(),
        };
        texts.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let change = texts(&["a.table_name", "a.op", "a.data::text", "a.data ->> 'id'"]);
    let context = texts(&["a.identity_id", "a.trace_id", traceparent]);
    let previous = texts(&["before.data::text"]);
    format!("a.id, {position}, {change}, {context}, a.created_at, {previous}")
}

/// Finds the newest row of the same record that is earlier than `a`. An index has them in this
/// order.
fn previous(table: &str, shape: Shape) -> String {
    let (own, of_a) = (shape.keys("p"), shape.keys_kept("a").join(", "));
    let earlier = format!("({}) < ({of_a})", own.join(", "));
    let newest = own.iter().map(|key| format!("{key} desc")).collect::<Vec<_>>().join(", ");
    let (earlier, newest) = match (shape.numbered, shape.clocked) {
        (true, _) => (earlier, newest),
        // A row that was marked has lost who wrote it. It was an event before this one is.
        (false, true) => (
            format!(
                "p.id <> a.id and p.created_at <= a.created_at and (p.created_at < a.created_at \
                 or p.event_processed_at is not null or {earlier})"
            ),
            newest.replacen(" desc", " desc, p.event_processed_at desc nulls first", 1),
        ),
        (false, false) => (
            format!("p.id <> a.id and (p.event_processed_at is not null or {earlier})"),
            format!("p.event_processed_at desc nulls first, {newest}"),
        ),
    };
    format!(
        "left join lateral (
  select p.data from {table} p
  where a.op <> 'insert' and p.table_name = a.table_name
    and p.data ->> 'id' = a.data ->> 'id' and {earlier}
  order by {newest} limit 1
) before on true"
    )
}

/// Reads the rows `a` of this selection, in order.
fn select(table: &str, shape: Shape, chosen: &str) -> String {
    format!(
        "select {} from (
  select a.*{} from {table} a
  where {chosen}
) a {}
order by {}",
        read(shape),
        shape.kept("a"),
        previous(table, shape),
        shape.keys_kept("a").join(", ")
    )
}

/// Reads the next rows that are not marked. With positions: `$1` and `$2` are the starts and ends
/// of those to pass over, `$3` is how many; without: `$1` the ids to pass over, `$2` how many.
pub(crate) fn gather(table: &str, shape: Shape, only: &[String]) -> String {
    let (pass, limit) = match shape.numbered {
        true => (
            "not exists (
    select from unnest($1::bigint[], $2::bigint[]) as passed (low, high)
    where position between low and high)",
            "$3",
        ),
        false => ("id <> all($1::text[])", "$2"),
    };
    let chosen = format!(
        "{}{} and {pass}\n  order by {} limit {limit}",
        shape.pending(),
        of_tables(only),
        shape.keys("a").join(", ")
    );
    select(table, shape, &chosen)
}

/// Lists the tables and operations of a trace's rows, `$1`, that are not marked.
pub(crate) fn kinds_of_trace(table: &str, shape: Shape) -> String {
    format!(
        "select distinct table_name, op from {table} where trace_id = $1 and {}",
        shape.pending()
    )
}

/// Reads the ids of the next rows of a trace, `$1`, that are not marked and are of these tables and
/// operations, `$2` and `$3`, without those of `$4`; `$5` is how many.
pub(crate) fn next_of_trace(table: &str, shape: Shape) -> String {
    format!(
        "select a.id from {table} a where trace_id = $1 and {}
  and (table_name, op) in (select * from unnest($2::text[], $3::text[])) and id <> all($4::text[])
order by {} limit $5",
        shape.pending(),
        shape.keys("a").join(", ")
    )
}

/// Reads those of the rows of the ids `$1` that are not marked.
pub(crate) fn read_rows(table: &str, shape: Shape) -> String {
    select(table, shape, &format!("id = any($1::text[]) and {}", shape.pending()))
}

/// Marks rows: `$1` are their positions, or their ids. Where only the marks tell later which row
/// was an event first, they are a microsecond apart.
pub(crate) fn mark(table: &str, shape: Shape) -> String {
    match shape.numbered {
        true => format!(
            "update {table} set event_processed_at = clock_timestamp() \
             where position = any($1::bigint[]) and event_processed_at is null"
        ),
        false => format!(
            "update {table} t \
             set event_processed_at = statement_timestamp() + n * interval '1 microsecond' \
             from unnest($1::text[]) with ordinality as marked (id, n) \
             where t.id = marked.id and event_processed_at is null"
        ),
    }
}

/// Writes down, `$2`, why the row at the position `$1` can't be an event.
pub(crate) fn set_aside(table: &str) -> String {
    format!("update {table} set error = $2 where position = $1")
}

/// The condition that an audit row is of one of these tables.
pub(crate) fn of_tables(tables: &[String]) -> String {
    let names: Vec<String> = tables.iter().map(|name| literal(name)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" and table_name in ({})", names.join(", ")),
    }
}
