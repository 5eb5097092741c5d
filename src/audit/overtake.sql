-- A hand that read the ledger before it says what is written next must not
-- record over it.
with hand as materialized (
    select ad_id from usage_sync.ad
    where ad_id = any ($1) and token is not null
    order by ad_id
    for update
)
update usage_sync.ad as ad
set token = nextval('usage_sync.token')
from hand
where ad.ad_id = hand.ad_id
