-- Moves a batch of changes into the ads. Rows that another daemon is moving
-- are skipped, not waited for. Ads are written in the order of their ids,
-- as everywhere, so that no two transactions wait for each other in a ring.
-- The rows are locked and never updated, so their places hold; a join by id
-- would read the whole outbox for each batch of a large one, and a plan that
-- looked for the batch twice would find other rows the second time.
with moved as (
    delete from usage_sync.change
    where ctid = any (array(
        select ctid from usage_sync.change
        where ad_id is not null
        order by id
        limit $1
        for update skip locked
    ))
    returning ad_id, changed_at
), folded as (
    select ad_id, min(changed_at) as changed_at from moved
    where octet_length(ad_id) <= 2000
    group by ad_id
    order by ad_id
), too_long as (
    -- No index takes a key of more than 2704 bytes, and Salesforce no external
    -- id of more than 255 characters: such an ad is put aside under a key of
    -- its own, where people see it, and holds up no other.
    insert into usage_sync.ad (ad_id, changed_at, state, settled_version, error_code, error_message)
    select left(ad_id, 100) || '…' || md5(ad_id), min(changed_at), 'rejected', 1, 'AD_ID_TOO_LONG',
        format('the id of this ad has %s bytes, of which 2000 can be kept: it is never reported; '
            'give the ad a shorter id, then delete this row of usage_sync.ad',
            octet_length(ad_id))
    from moved
    where octet_length(ad_id) > 2000
    group by ad_id
    order by 1
    on conflict (ad_id) do nothing
    returning ad_id
), pending as (
    insert into usage_sync.ad as ad (ad_id, changed_at)
    select ad_id, changed_at from folded
    on conflict (ad_id) do update
    set version = ad.version + 1,
        state = 'pending',
        attempts = 0,
        since = case ad.state when 'pending' then ad.since else clock_timestamp() end,
        changed_at = case ad.state
            when 'pending' then least(ad.changed_at, excluded.changed_at)
            else excluded.changed_at end,
        retry_at = null, error_code = null, error_message = null
    where ad.error_code is distinct from 'AD_ID_TOO_LONG'
    returning ad_id
), announced as (
    -- To the app, where the state is another one now: what stands in the table
    -- is read as it was before this statement. Not while a notification queue
    -- half full threatens the app's commits.
    select pg_notify('usage_sync_status', ad_id)
    from folded left join usage_sync.ad as before using (ad_id)
    where before.state is distinct from 'pending'
        and pg_notification_queue_usage() < 0.5
    union all
    select pg_notify('usage_sync_status', ad_id) from too_long
    where pg_notification_queue_usage() < 0.5
)
select (select count(*) from moved) as moved, array_agg(ad_id) as ad_ids,
    (select count(*) from announced) as announced,
    (select array_agg(ad_id) from too_long) as too_long
from pending
