-- Nobody knows what Salesforce did with these records.
insert into usage_sync.record (external_id, ad_id, line, contract, fields, salesforce_id, state)
select external_id, ad_id, line, contract, blank::jsonb, salesforce_id, 'sending'
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    as doubt (external_id, ad_id, line, contract, salesforce_id, blank)
on conflict (external_id) do update
set state = 'sending', fields = excluded.fields || record.fields
