-- Reading the app's view usage_sync.usage. The view belongs to the app, may
-- have any type of ad_id and may be replaced at any time, so nothing about
-- it is fixed before the moment of reading.

-- Those of `ads` that can be read as `key_type`, which may be a domain with
-- rules of its own. An id that cannot is in no row of the view.
create function usage_sync.castable(ads text[], key_type text) returns text[]
language plpgsql stable
as $$
declare
    ad text;
    good text[] := '{}';
begin
    begin
        execute pg_catalog.format('select $1::text[]::%s[]', key_type) using ads;
        return ads;
    exception when data_exception or integrity_constraint_violation then
        -- One of them is not of the type: find out which.
    end;
    foreach ad in array ads loop
        begin
            execute pg_catalog.format('select $1::text::%s', key_type) using ad;
            good := good || ad;
        exception when data_exception or integrity_constraint_violation then
            continue;
        end;
    end loop;
    return good;
end
$$;

-- The type of the view's ad_id as SQL writes it. With typmod -1: char(3) would
-- cut an id down to another ad's.
create function usage_sync.key_type() returns text
language plpgsql stable
as $$
declare
    found_type text;
begin
    if pg_catalog.to_regclass('usage_sync.usage') is null then
        raise exception 'the view usage_sync.usage does not exist'
            using errcode = 'undefined_table',
                hint = 'The app creates it in a migration of its own; README.md shows one.';
    end if;
    select pg_catalog.format_type(atttypid, -1) into found_type
    from pg_catalog.pg_attribute
    where attrelid = pg_catalog.to_regclass('usage_sync.usage')
        and attname = 'ad_id' and not attisdropped;
    if found_type is null then
        raise exception 'the view usage_sync.usage has no column ad_id'
            using errcode = 'undefined_column';
    end if;
    return found_type;
end
$$;

-- What the app wants for these ads, now. Compares in the view's own type, so
-- that the app's index serves. No search_path is set: the view may call
-- functions of the app that rely on theirs.
create function usage_sync.wanted(ads text[])
returns table (ad_id text, line text, contract text, fields text)
language plpgsql stable
as $$
declare
    key_type text := usage_sync.key_type();
begin
    return query execute pg_catalog.format(
        'select ad_id::text, line::text, contract::text, to_jsonb(fields)::text
         from usage_sync.usage where ad_id = any ($1::text[]::%s[])', key_type)
    using usage_sync.castable(ads, key_type);
end
$$;

-- The ads of the view after a given one, in the order of the view's own type.
-- With `since`, only those that changed then or later, which asks for a column
-- changed_at in the view.
create function usage_sync.page(after text, size integer, since timestamptz default null)
returns table (ad_id text)
language plpgsql stable
as $$
begin
    return query execute pg_catalog.format(
        'select ad_id::text from (
             select distinct ad_id from usage_sync.usage
             where ad_id is not null and ($1 is null or ad_id > $1::text::%s) %s
             order by ad_id limit $2
         ) as page',
        usage_sync.key_type(),
        case when since is not null then 'and changed_at >= $3' end)
    using after, size, since;
end
$$;
