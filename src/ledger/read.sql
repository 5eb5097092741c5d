-- Wanted and held in one snapshot.
select ad_id, line, contract, fields, null as external_id, null as salesforce_id, null as state
from usage_sync.wanted($1)
union all
select ad_id, line, contract, fields::text, external_id, salesforce_id, state
from usage_sync.record where ad_id = any ($1)
