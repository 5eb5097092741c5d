-- Those of the ads that nobody has in hand; nobody takes them before this
-- transaction ends.
select ad_id from usage_sync.ad
where ad_id = any ($1) and token is null
order by ad_id
for update
