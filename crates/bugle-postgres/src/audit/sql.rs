//! How audit rows are read and marked.

use super::install::of_tables;

/// What is read of a row `a`, and of the record's previous row.
const READ: &str = "a.id, {position}, a.table_name, a.op, a.data::text, a.data ->> 'id', \
                    a.identity_id, a.trace_id, a.created_at, before.data::text";

/// The newest earlier row of the same record. An index has them in this order.
const PREVIOUS: &str = "left join lateral (
  select p.data from {table} p
  where a.op <> 'insert' and p.table_name = a.table_name and p.data ->> 'id' = a.data ->> 'id'
    and p.position < a.position
  order by p.position desc limit 1
) before on true";

/// The same where rows have no position. Of those that have one time, as those of one transaction
/// do, the one of an earlier transaction came before, then the one that was written by an earlier
/// command, and one that was marked already too.
const PREVIOUS_BY_TIME: &str = "left join lateral (
  select p.data from {table} p
  where a.op <> 'insert' and p.table_name = a.table_name and p.data ->> 'id' = a.data ->> 'id'
    and p.id <> a.id and p.created_at <= a.created_at
    and (p.created_at < a.created_at or p.event_processed_at is not null
      or (-age(p.xmin), p.cmin::text::bigint, p.id) < (a.written, a.command, a.id))
  order by p.created_at desc, p.event_processed_at desc nulls first,
    age(p.xmin), p.cmin::text::bigint desc, p.id desc
  limit 1
) before on true";

/// Reads the next rows that are not marked. With positions: `$1` and `$2` are the starts and ends
/// of those to pass over, `$3` is how many; without: `$1` the ids to pass over, `$2` how many.
pub(crate) fn gather(table: &str, has_position: bool, only: &[String]) -> String {
    let of_tables = of_tables(only);
    let sql = match has_position {
        true => format!(
            "select {READ} from (
  select * from {{table}}
  where event_processed_at is null{of_tables} and not exists (
    select from unnest($1::bigint[], $2::bigint[]) as passed (low, high)
    where position between low and high)
  order by position limit $3
) a {PREVIOUS}
order by a.position"
        ),
        false => format!(
            "select {READ} from (
  select *, -age(xmin) as written, cmin::text::bigint as command from {{table}}
  where event_processed_at is null{of_tables} and id <> all($1::text[])
  order by created_at, written, command, id limit $2
) a {PREVIOUS_BY_TIME}
order by a.created_at, a.written, a.command, a.id"
        ),
    };
    with_names(&sql, table, has_position)
}

/// What the rows of a trace, `$1`, that are not marked are about.
pub(crate) fn kinds_of_trace(table: &str) -> String {
    format!(
        "select distinct table_name, op from {table} \
         where trace_id = $1 and event_processed_at is null"
    )
}

/// Reads the next rows of a trace, `$1`, that are not marked and are of these tables and ops, `$2`
/// and `$3`; `$4` is how many. Until the transaction ends, nobody else takes them so.
pub(crate) fn gather_trace(table: &str, has_position: bool) -> String {
    let (written, inner, previous, outer) = match has_position {
        true => ("", "position", PREVIOUS, "a.position"),
        false => (
            ", -age(xmin) as written, cmin::text::bigint as command",
            "created_at, written, command, id",
            PREVIOUS_BY_TIME,
            "a.created_at, a.written, a.command, a.id",
        ),
    };
    let sql = format!(
        "select {READ} from (
  select *{written} from {{table}}
  where trace_id = $1 and event_processed_at is null
    and (table_name, op) in (select * from unnest($2::text[], $3::text[]))
  order by {inner} limit $4 for update
) a {previous}
order by {outer}"
    );
    with_names(&sql, table, has_position)
}

/// Marks rows: `$1` are their positions, or their ids.
pub(crate) fn mark(table: &str, has_position: bool) -> String {
    let these = if has_position { "position = any($1::bigint[])" } else { "id = any($1::text[])" };
    format!(
        "update {table} set event_processed_at = clock_timestamp() \
         where {these} and event_processed_at is null"
    )
}

fn with_names(sql: &str, table: &str, has_position: bool) -> String {
    let position = if has_position { "a.position" } else { "null::bigint" };
    sql.replace("{position}", position).replace("{table}", table)
}
