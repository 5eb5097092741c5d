-- The records of these ads that differ are in doubt: the worker sends them
-- anew, or withdraws them. Those that the ledger does not know may have any
-- field set that was ever reported.
insert into usage_sync.record (external_id, ad_id, line, fields, salesforce_id, state)
select external_id, ad_id, line, $2::jsonb, salesforce_id, 'sending'
from pg_temp.org_difference
where ad_id = any ($1)
on conflict (external_id) do update
set state = 'sending', salesforce_id = excluded.salesforce_id
