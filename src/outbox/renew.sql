-- Ads that were ever seen here, and those that the app has all the same.
insert into usage_sync.change (ad_id)
select ad_id from usage_sync.ad where ad_id = any ($1)
union
select ad_id from usage_sync.wanted($1)
returning ad_id
