-- One more than a page, which tells whether there is another one.
select id, at, action, ad_id, line, contract, external_id, salesforce_id, version, token,
    fields::text, code, message
from usage_sync.journal
where ad_id = $1 and id < $2
order by id desc
limit $3 + 1
