-- Takes a new fencing token for each ad. A statement of its own ahead of the
-- read: whoever recorded before it is seen by the read, whoever records after
-- it finds its own token overtaken. An ad that was rejected as it stands, and
-- whose time to be tried again has not come, rests: a sweep may have read it as
-- pending the moment before, and offered it the moment after.
with hand as materialized (
    select ad_id, token,
        state = 'rejected' and settled_version = version and retry_at > clock_timestamp() as rests
    from usage_sync.ad
    where ad_id = any ($1)
    order by ad_id
    for update
), fenced as (
    update usage_sync.ad as ad
    set token = nextval('usage_sync.token')
    from hand
    where ad.ad_id = hand.ad_id and hand.rests is not true
    returning ad.ad_id, ad.version, ad.token, ad.attempts, ad.suspicions, ad.alone,
        hand.token is not null as overtaken
)
select *, false as rests from fenced
union all
select ad_id, 0, 0, 0, 0, false, false, true from hand where rests
