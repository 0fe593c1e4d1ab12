//! The triggers of audited tables, which never fail the statement that fires them.

use crate::install::{NEW_ID, dollar_quoted};
use crate::table::{TableName, identifier, literal};

/// The columns that a trigger writes.
const WRITTEN: &str = "id, table_name, op, data, identity_id, trace_id, created_at, traceparent";

/// The columns of the context: identity, trace, and time.
const CONTEXT: &str = "nullif(current_setting('audit.identity_id', true), ''),
      coalesce(nullif(current_setting('audit.trace_id', true), ''),
        nullif(substr(current_setting('audit.traceparent', true), 4, 32), '')),
      clock_timestamp(), nullif(current_setting('audit.traceparent', true), '')";

/// The operations on a table, each with the transition table that has its rows.
pub(super) const OPERATIONS: [(&str, &str); 4] = [
    ("insert", "referencing new table as new_rows "),
    ("update", "referencing new table as new_rows "),
    ("delete", "referencing old table as old_rows "),
    ("truncate", ""),
];

/// The functions that the triggers call.
///
/// They run with their owner's rights: a user who may change an audited table need not be able to
/// write, or forge, the audit. Names in them are full ones, so that nobody's search_path matters.
pub(super) fn functions(audit: &TableName) -> Vec<String> {
    let (value, record_changes) =
        (audit.beside("_value").quoted(), audit.beside("_record").quoted());
    let fixed = "language plpgsql set search_path = pg_catalog, pg_temp";
    vec![
        format!(
            "create or replace function {value}(anyelement) returns jsonb\n{fixed} as {}",
            dollar_quoted(VALUE)
        ),
        format!(
            "create or replace function {record_changes}() returns trigger\n\
             {fixed} security definer as {}",
            dollar_quoted(&record(audit))
        ),
        // Nobody else makes a trigger of it, on a table and with types of their own.
        format!("revoke execute on function {record_changes}() from public"),
    ]
}

/// Makes a value JSON; a text where it can't be, and nothing where it can't be that either.
const VALUE: &str = "begin
  return coalesce(to_jsonb($1), 'null');
exception when others then
  begin
    return to_jsonb($1::text);
  exception when others then
    return null;
  end;
end";

/// Writes the audit rows of a statement in one of three ways, each tried when the one before it
/// failed: the records as they are; each value by itself; and a text in a record's place that says
/// why. An error that only the caller can mend, by trying again, is passed on.
fn record(audit: &TableName) -> String {
    let (table, value) = (audit.quoted(), audit.beside("_value").quoted());
    let insert = format!("insert into {table} ({WRITTEN})");
    let plain = |rows: &str| {
        format!(
            "{insert}
    select {NEW_ID}, tg_table_name, lower(tg_op), to_jsonb(changed.*), {CONTEXT}
    from {rows} changed;"
        )
    };
    let dynamic = literal(&format!(
        "{} select {}, $1, $2, %s, {} from %I changed %s",
        insert.replace('%', "%%"),
        NEW_ID,
        CONTEXT
    ));
    let by_value = literal(
        "cross join lateral (select case
          when bool_or(value is null) then to_jsonb('these columns can be no JSON: '::text
            || string_agg(name, ', ') filter (where value is null))
          else jsonb_object_agg(name, value) end as data
        from (values %s) as each_value (name, value)) carried",
    );
    let why =
        literal("to_jsonb('the record '::text || coalesce(%s, '?') || ' is not carried: ' || %L)");
    let one = literal(&format!("(%L, {}(changed.%I))", value.replace('%', "%%")));
    let otherwise = "exception
    when serialization_failure then raise;
    when others then failed := sqlerrm; state := sqlstate;
  end;";
    let (of_old, of_new) = (plain("old_rows"), plain("new_rows"));
    format!(
        "#variable_conflict use_variable
declare
  failed text;
  state text;
begin
  begin
    if tg_op = 'DELETE' then
    {of_old}
    elsif tg_op = 'TRUNCATE' then
    {insert}
    select {NEW_ID}, tg_table_name, lower(tg_op), '{{}}'::jsonb, {CONTEXT};
    else
    {of_new}
    end if;
    return null;
  {otherwise}
  -- Not for want of space, memory or a lock, of which more would be wanted.
  if tg_op <> 'TRUNCATE' and left(state, 2) not in ('53', '55', '58') then
  declare
    write text := {dynamic};
    rows_of text := case tg_op when 'DELETE' then 'old_rows' else 'new_rows' end;
    record_values text;
    record_id text;
  begin
    select string_agg(format({one}, attname, attname), ', ' order by attnum),
      max(format('changed.%I::text', attname)) filter (where attname = 'id')
    into record_values, record_id
    from pg_attribute where attrelid = tg_relid and attnum > 0 and not attisdropped;
    begin
      execute format(write, 'carried.data', rows_of, format({by_value}, record_values))
      using tg_table_name, lower(tg_op);
      return null;
    {otherwise}
    execute format(write, format({why}, coalesce(record_id, 'null'), failed), rows_of, '')
    using tg_table_name, lower(tg_op);
    return null;
  {otherwise}
  end if;
  raise warning 'bugle: % on table %.% is not in the audit, and will be no event: %',
    tg_op, tg_table_schema, tg_table_name, failed
    using hint = 'See that the audit table is there, \
and that the owner of its functions may write to it.';
  return null;
end"
    )
}

/// A table's triggers.
pub(super) fn triggers(audit: &TableName, table: &TableName) -> Vec<String> {
    let trigger = |(op, transition): &(&str, &str)| {
        format!(
            "create or replace trigger {} after {op} on {}\n\
             {transition}for each statement execute function {}()",
            identifier(audit.beside(&format!("_{op}")).name()),
            table.quoted(),
            audit.beside("_record").quoted(),
        )
    };
    OPERATIONS.iter().map(trigger).collect()
}
