-- The hands that held these ads before went away without a word. Whatever
-- their requests may have done is in doubt from here on.
with orphan as (
    delete from usage_sync.intent
    where exists (select from unnest(ad_ids) as intended where intended = any ($1))
    returning ad_ids, lines, external_ids, contracts, blanks
)
select doubt.external_id, doubt.ad_id, doubt.line, nullif(doubt.contract, '') as contract, doubt.blank
from orphan, unnest(
    orphan.external_ids, orphan.ad_ids, orphan.lines, orphan.contracts, orphan.blanks
) as doubt (external_id, ad_id, line, contract, blank)
