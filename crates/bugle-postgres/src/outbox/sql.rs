//! The statements that read and mark outbox rows.

use super::Processed;

/// Reads the next rows: `$1` and `$2` are the starts and ends of those to pass over, `$3` is how
/// many.
pub(crate) fn gather(table: &str) -> String {
    format!(
        "select position, id, name, payload::text, key, traceparent, tracestate from {table}
where processed_at is null and error is null and not exists (
  select from unnest($1::bigint[], $2::bigint[]) as passed (low, high)
  where position between low and high)
order by position limit $3"
    )
}

/// Deletes or marks rows that were taken: `$1` are their positions.
pub(crate) fn mark(table: &str, processed: Processed) -> String {
    match processed {
        Processed::Delete => format!("delete from {table} where position = any($1::bigint[])"),
        Processed::Keep(_) => format!(
            "update {table} set processed_at = clock_timestamp() \
             where position = any($1::bigint[]) and processed_at is null"
        ),
    }
}

/// Deletes some of the rows that were taken more than `$1` seconds ago.
pub(crate) fn clean(table: &str) -> String {
    format!(
        "delete from {table} where position in (
  select position from {table}
  where processed_at < clock_timestamp() - make_interval(secs => $1::float8)
  order by position limit 10000)"
    )
}
