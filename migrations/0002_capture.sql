-- Capture: the triggers that an app hangs on its own tables with
-- usage_sync.watch. They write the outbox and wake the listener.

-- Runs with the rights of the schema's owner, so the app's role needs none;
-- the fixed search_path keeps it from being led to somebody else's objects.
create function usage_sync.capture() returns trigger
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

    -- A commit with a NOTIFY waits for every other one (PostgreSQL's
    -- notification queue has one lock, held through the flush), so an awake
    -- listener, which polls, is not notified: it holds this lock exclusively.
    -- A full notification queue would make the app's COMMIT fail: past one
    -- half nobody is notified and the listener's poll finds the change.
    if captured > 0
        and pg_try_advisory_xact_lock_shared(1970496883, 1)
        and pg_notification_queue_usage() < 0.5
    then
        notify usage_sync;
    end if;
    return null;
end
$$;

-- Attaches the triggers to a table of the app. `key` is the column that holds
-- the id of the ad. Calling it again changes nothing; calling it with another
-- key replaces it. The caller needs the TRIGGER right on the table.
create function usage_sync.watch("table" regclass, key name) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    kind "char";
    arguments bytea := convert_to(key::text, 'UTF8') || '\x00'::bytea;
begin
    if "table" is null or key is null then
        raise exception 'usage_sync.watch needs a table and the name of the column with the ad''s id'
            using errcode = 'null_value_not_allowed';
    end if;
    select relkind into kind from pg_class where oid = "table";
    if kind is distinct from 'r' and kind is distinct from 'p' then
        raise exception '% cannot be watched: it is not a table', "table"
            using errcode = 'wrong_object_type',
                hint = 'A view has no rows of its own: watch the tables that it reads.';
    end if;
    if not exists (
        select from pg_attribute
        where attrelid = "table" and attname = key and attnum > 0 and not attisdropped
    ) then
        raise exception 'table % has no column %', "table", quote_ident(key)
            using errcode = 'undefined_column',
                hint = 'Name the column that holds the id of the ad.';
    end if;

    if (select count(*) from pg_trigger
        where tgrelid = "table" and tgfoid = 'usage_sync.capture'::regproc
            and tgargs = arguments and tgenabled = 'O') = 4
    then
        return;
    end if;
    perform usage_sync.unwatch("table");

    execute format(
        'create trigger usage_sync_insert after insert on %s
         referencing new table as new_rows
         for each statement execute function usage_sync.capture(%L)', "table", key);
    execute format(
        'create trigger usage_sync_update after update on %s
         referencing old table as old_rows new table as new_rows
         for each statement execute function usage_sync.capture(%L)', "table", key);
    execute format(
        'create trigger usage_sync_delete after delete on %s
         referencing old table as old_rows
         for each statement execute function usage_sync.capture(%L)', "table", key);
    execute format(
        'create trigger usage_sync_truncate after truncate on %s
         for each statement execute function usage_sync.capture(%L)', "table", key);
end
$$;

-- Takes the triggers off again.
create function usage_sync.unwatch("table" regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    attached name;
begin
    for attached in
        select tgname from pg_trigger
        where tgrelid = "table" and tgfoid = 'usage_sync.capture'::regproc
    loop
        execute format('drop trigger %I on %s', attached, "table");
    end loop;
end
$$;
