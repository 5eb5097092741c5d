-- A commit with a NOTIFY waits for every other one, also when nobody listens.
-- So the trigger notifies only while a listener was heard of lately: with every
-- daemon down or frozen the app commits as fast as without a trigger.

-- When a listener was last heard, in seconds since 1970. A sequence, since its
-- one row is written in place: a table's row would leave a dead version behind
-- at each heartbeat, which every commit of the app would have to step over while
-- a long transaction keeps them from being cleaned up.
create sequence usage_sync.listening as bigint minvalue 0 start with 0 cache 1;

create or replace function usage_sync.capture() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    captured bigint := 1;
begin
    -- The key's name differs from table to table, hence the dynamic SQL; the
    -- transition tables make it one insert however many rows a statement had.
    case tg_op
    when 'INSERT' then
        execute format(
            'insert into usage_sync.change (ad_id)
             select distinct %1$I::text from new_rows where %1$I is not null', tg_argv[0]);
        get diagnostics captured = row_count;
    when 'UPDATE' then
        execute format(
            'insert into usage_sync.change (ad_id)
             select %1$I::text from old_rows where %1$I is not null
             union
             select %1$I::text from new_rows where %1$I is not null', tg_argv[0]);
        get diagnostics captured = row_count;
    when 'DELETE' then
        execute format(
            'insert into usage_sync.change (ad_id)
             select distinct %1$I::text from old_rows where %1$I is not null', tg_argv[0]);
        get diagnostics captured = row_count;
    when 'TRUNCATE' then
        insert into usage_sync.change (ad_id) values (null);
    end case;

    -- Nobody is notified who was not heard for five heartbeats, nor a listener
    -- that is awake and polls: it holds the lock exclusively. A full notification
    -- queue would make the app's COMMIT fail: past one half nobody is notified.
    -- What slips through waits for the poll.
    if captured > 0
        and (select last_value from usage_sync.listening)
            > extract(epoch from clock_timestamp()) - 20
        and pg_try_advisory_xact_lock_shared(1970496883, 1)
        and pg_notification_queue_usage() < 0.5
    then
        notify usage_sync;
    end if;
    return null;
end
$$;
