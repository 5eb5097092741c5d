-- Makes a page of the ads pending whose records differ. A token that no hand has
-- keeps one that is sending from recording over what follows. It is not the next
-- of the sequence: an older database is told by that, and would look like the
-- right one before the rebase is done.
with page as materialized (
    select distinct ad_id from pg_temp.org_difference
    where $1::text is null or ad_id > $1
    order by ad_id
    limit $2
), before as materialized (
    select page.ad_id, ad.state from page left join usage_sync.ad as ad using (ad_id)
), pending as (
    insert into usage_sync.ad as ad (ad_id, changed_at, token)
    select ad_id, clock_timestamp(), 0 from page
    order by ad_id
    on conflict (ad_id) do update
    set token = excluded.token,
        version = ad.version + 1,
        state = 'pending',
        attempts = 0,
        since = case ad.state when 'pending' then ad.since else clock_timestamp() end,
        changed_at = case ad.state when 'pending' then ad.changed_at else clock_timestamp() end,
        retry_at = null, error_code = null, error_message = null
    returning ad_id
), announced as (
    select pg_notify('usage_sync_status', ad_id) from before
    where state is distinct from 'pending'
        and octet_length(ad_id) < 8000 and pg_notification_queue_usage() < 0.5
)
select (select coalesce(array_agg(ad_id order by ad_id), '{}') from pending),
    (select count(*) from announced)
