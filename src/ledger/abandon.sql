-- Nothing was sent: the intent never was. The ads come first, as everywhere:
-- what nothing reads would run last.
with hand as materialized (
    select ad.ad_id from usage_sync.ad as ad
    join unnest($1::text[], $2::bigint[]) as mine (ad_id, token) using (ad_id, token)
    order by ad.ad_id
    for update of ad
), freed as (
    update usage_sync.ad as ad set token = null from hand where ad.ad_id = hand.ad_id
    returning ad.ad_id
)
delete from usage_sync.intent where id = $3 and (select count(*) from freed) >= 0
