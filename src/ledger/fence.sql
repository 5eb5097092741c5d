-- Takes a new fencing token for each ad. A statement of its own ahead of the
-- read: whoever recorded before it is seen by the read, whoever records after
-- it finds its own token overtaken.
with hand as materialized (
    select ad_id, token from usage_sync.ad
    where ad_id = any ($1)
    order by ad_id
    for update
)
update usage_sync.ad as ad
set token = nextval('usage_sync.token')
from hand
where ad.ad_id = hand.ad_id
returning ad.ad_id, ad.version, ad.token, ad.attempts, ad.suspicions, ad.alone,
    hand.token is not null as overtaken
