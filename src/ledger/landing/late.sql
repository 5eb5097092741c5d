-- Salesforce holds these records otherwise than it was last told, or holds
-- what it should not, or lost it. What stands there now is not known field by
-- field, and its id is the one that was seen.
insert into usage_sync.record (external_id, ad_id, line, contract, fields, salesforce_id, state)
select landing.external_id, landing.ad_id, landing.line, landing.contract, landing.fields,
    late.salesforce_id, 'sending'
from unnest($1::text[], $2::text[]) as late (external_id, salesforce_id)
join usage_sync.landing as landing on landing.external_id = late.external_id
on conflict (external_id) do update
set state = 'sending', fields = excluded.fields || record.fields,
    salesforce_id = excluded.salesforce_id
returning ad_id
