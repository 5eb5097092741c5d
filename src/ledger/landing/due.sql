-- Takes records that are to be read back, and puts them off for whoever else
-- looks. Beside each what the ledger says of it, and whether somebody has its
-- ad in hand.
with due as materialized (
    select external_id from usage_sync.landing
    where look_at <= clock_timestamp()
    order by look_at
    limit $1
    for update skip locked
), taken as (
    update usage_sync.landing
    set look_at = clock_timestamp() + make_interval(secs => $2)
    from due where landing.external_id = due.external_id
    returning landing.external_id, landing.ad_id, landing.fields, landing.until
)
select taken.external_id, coalesce(record.ad_id, taken.ad_id) as ad_id, taken.fields::text as blank,
    taken.until, record.fields::text as told, record.state, record.salesforce_id,
    ad.token is not null as in_hand
from taken
left join usage_sync.record as record on record.external_id = taken.external_id
join usage_sync.ad as ad on ad.ad_id = coalesce(record.ad_id, taken.ad_id)
