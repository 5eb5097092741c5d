-- A request about these records was given up on: for some time to come it may
-- still take effect.
insert into usage_sync.landing as landing
    (external_id, ad_id, line, contract, fields, until, look_at)
select external_id, ad_id, line, contract, blank::jsonb, window_end, window_end
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    as expected (external_id, ad_id, line, contract, blank)
cross join (select clock_timestamp() + make_interval(secs => $6)) as landing_window (window_end)
on conflict (external_id) do update
set ad_id = excluded.ad_id, line = excluded.line, contract = excluded.contract,
    fields = landing.fields || excluded.fields,
    until = greatest(landing.until, excluded.until),
    look_at = greatest(landing.until, excluded.until)
