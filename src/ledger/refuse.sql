-- Rejects an ad of which nothing was sent. A token that is there stays: it is
-- the sign that an intent of another hand may still be on disk, and the next
-- fence has to take that over.
update usage_sync.ad
set state = 'rejected', settled_version = version, attempts = 0,
    since = case state when 'rejected' then since else clock_timestamp() end,
    retry_at = clock_timestamp() + make_interval(secs => $4), error_code = $2, error_message = $3
where ad_id = $1
returning version, coalesce(token, 0) as token
