-- Makes a page of the known ads pending: a table that they may stand in was
-- truncated.
with page as materialized (
    select ad_id, state from usage_sync.ad
    where ($1::text is null or ad_id > $1) and error_code is distinct from 'AD_ID_TOO_LONG'
    order by ad_id
    limit $2
    for update
), pending as (
    update usage_sync.ad as ad
    set version = ad.version + 1,
        state = 'pending',
        attempts = 0,
        since = case ad.state when 'pending' then ad.since else clock_timestamp() end,
        changed_at = case ad.state when 'pending' then least(ad.changed_at, $3) else $3 end,
        retry_at = null, error_code = null, error_message = null
    from page
    where ad.ad_id = page.ad_id
    returning ad.ad_id
), announced as (
    select pg_notify('usage_sync_status', ad_id) from page
    where state <> 'pending' and octet_length(ad_id) < 8000 and pg_notification_queue_usage() < 0.5
)
select (select max(ad_id) from page), (select coalesce(array_agg(ad_id), '{}') from pending),
    (select count(*) from announced)
