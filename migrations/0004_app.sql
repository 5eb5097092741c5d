-- What the app's people see, and the rights they need for it.

create view usage_sync.ad_status as
select
    ad.ad_id,
    ad.state,
    ad.since,
    ad.changed_at,
    ad.reported_at,
    ad.attempts,
    ad.error_code,
    ad.error_message,
    coalesce(
        (
            select jsonb_agg(
                jsonb_build_object(
                    'line', record.line,
                    'external_id', record.external_id,
                    'salesforce_id', record.salesforce_id,
                    'fields', record.fields
                ) order by record.line
            )
            from usage_sync.record
            where record.ad_id = ad.ad_id and record.state = 'reported'
        ),
        '[]'
    ) as records
from usage_sync.ad;

comment on view usage_sync.ad_status is
    'What became of each ad: pending, reported or rejected, and why.';

-- Lets a role of the app read the status of its ads.
create function usage_sync.grant_status(role name) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('grant usage on schema usage_sync to %I', role);
    execute format('grant select on usage_sync.ad_status to %I', role);
end
$$;

-- Lets the role of the app's migrations create the view usage_sync.usage and
-- watch its own tables. It gets no right on any table of usage-sync.
create function usage_sync.grant_setup(role name) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('grant usage, create on schema usage_sync to %I', role);
    execute format('grant execute on function usage_sync.watch(regclass, name) to %I', role);
    execute format('grant execute on function usage_sync.unwatch(regclass) to %I', role);
    execute format('grant execute on function usage_sync.capture() to %I', role);
end
$$;

-- By default everybody may execute a function.
revoke execute on all functions in schema usage_sync from public;
