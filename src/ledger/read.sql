-- Wanted and held in one snapshot. Held is read ad by ad: for a table that has
-- grown since it was last analysed the planner would read all of it instead,
-- and offset 0 keeps it from seeing through that.
select ad_id, line, contract, fields, null as external_id, null as salesforce_id, null as state
from usage_sync.wanted($1)
union all
select ad_id, line, contract, fields::text, external_id, salesforce_id, state
from unnest($1) as known (ad_id)
cross join lateral (
    select line, contract, fields, external_id, salesforce_id, state
    from usage_sync.record where record.ad_id = known.ad_id
    offset 0
) as held
