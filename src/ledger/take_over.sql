-- The hands that held these ads before went away without a word. Whatever
-- their requests may have done is in doubt from here on.
with orphan as (
    delete from usage_sync.intent
    where exists (select from unnest(ad_ids) as intended where intended = any ($1))
    returning ad_ids, lines, external_ids, contracts, blanks
)
insert into usage_sync.record (external_id, ad_id, line, contract, fields, state)
select distinct on (doubt.external_id)
    doubt.external_id, doubt.ad_id, doubt.line, nullif(doubt.contract, ''), doubt.blank::jsonb,
    'sending'
from orphan, unnest(
    orphan.external_ids, orphan.ad_ids, orphan.lines, orphan.contracts, orphan.blanks
) as doubt (external_id, ad_id, line, contract, blank)
order by doubt.external_id
on conflict (external_id) do update
set state = 'sending', fields = excluded.fields || record.fields
