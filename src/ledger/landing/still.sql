-- What was read back, as far as nothing happened to it since: the ad is in
-- nobody's hand, the ledger says the same, and no other request was given up on.
select seen.external_id
from unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[])
    as seen (external_id, until, told, state)
join usage_sync.landing as landing
    on landing.external_id = seen.external_id and landing.until = seen.until
left join usage_sync.record as record on record.external_id = seen.external_id
where coalesce(record.ad_id, landing.ad_id) = any ($5)
    and record.fields::text is not distinct from seen.told
    and record.state is not distinct from seen.state
