-- What an overtaken hand did is told once: recording it again, because the answer
-- to the commit got lost, finds it here. Offset 0 keeps the planner from reading
-- all of the journal for that.
insert into usage_sync.journal
    (action, ad_id, line, external_id, contract, salesforce_id, version, token, fields, code, message)
select action, ad_id, line, external_id, contract, salesforce_id, version, token,
    fields::jsonb, code, message
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[]
) as entry (action, ad_id, line, external_id, contract, salesforce_id,
    version, token, fields, code, message)
where code is distinct from 'OVERTAKEN' or not exists (
    select from usage_sync.journal as known
    where known.ad_id = entry.ad_id and known.external_id = entry.external_id
        and known.token = entry.token and known.action = entry.action
    offset 0
)
