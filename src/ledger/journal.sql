insert into usage_sync.journal
    (action, ad_id, line, external_id, contract, salesforce_id, version, token, fields, code, message)
select action, ad_id, line, external_id, contract, salesforce_id, version, token,
    fields::jsonb, code, message
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[]
) as entry (action, ad_id, line, external_id, contract, salesforce_id,
    version, token, fields, code, message)
