-- Ads that somebody queued by hand and that the app has, but that were never seen here.
insert into usage_sync.ad (ad_id, changed_at)
select distinct ad_id, clock_timestamp() from usage_sync.wanted($1)
on conflict (ad_id) do nothing
returning ad_id
