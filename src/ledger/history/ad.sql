select id, at, action, ad_id, line, contract, external_id, salesforce_id, version, token,
    fields::text, code, message
from usage_sync.journal
where ad_id = $1
order by id
