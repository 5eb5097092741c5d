-- An ad whose report fails for a reason that may pass, or may be the ad itself:
-- how often it was to blame since its last report, and whether it goes out by
-- itself, because a request with it was not answered while others were.

alter table usage_sync.ad
    add column suspicions integer not null default 0,
    add column alone boolean not null default false;

-- Pending ads that wait for their next try here, for want of room in Redis.
create index ad_waiting on usage_sync.ad (retry_at, ad_id)
    where state = 'pending' and retry_at is not null;
