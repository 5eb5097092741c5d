-- The records of these ads that differ are in doubt: the worker sends them
-- anew, or withdraws them. What the org holds may have been written by a newer
-- database, so any field may be set there that was ever reported.
insert into usage_sync.record (external_id, ad_id, line, fields, salesforce_id, state)
select external_id, ad_id, line, $2::jsonb, salesforce_id, 'sending'
from pg_temp.org_difference
where ad_id = any ($1)
on conflict (external_id) do update
set state = 'sending', fields = excluded.fields || record.fields,
    salesforce_id = excluded.salesforce_id
