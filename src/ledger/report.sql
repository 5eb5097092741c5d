-- Salesforce holds these records, and says so.
insert into usage_sync.record
    (external_id, ad_id, line, contract, fields, salesforce_id, state, reported_at)
select external_id, ad_id, line, contract, fields::jsonb, salesforce_id, 'reported', clock_timestamp()
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    as told (external_id, ad_id, line, contract, fields, salesforce_id)
on conflict (external_id) do update
set ad_id = excluded.ad_id, line = excluded.line, contract = excluded.contract,
    fields = excluded.fields, salesforce_id = excluded.salesforce_id,
    state = 'reported', reported_at = excluded.reported_at
