-- Whether the app has its view, how many tables have a capture trigger that
-- fires, and which have fewer than the four that usage_sync.watch makes.
with trigger as (
    select tgrelid, count(*) filter (where tgenabled in ('O', 'A')) as firing
    from pg_trigger
    where tgfoid = to_regproc('usage_sync.capture')
    group by tgrelid
)
select
    to_regclass('usage_sync.usage') is not null,
    count(*) filter (where firing > 0),
    coalesce(array_agg(tgrelid::regclass::text order by tgrelid::regclass::text) filter (where firing < 4), '{}')
from trigger
