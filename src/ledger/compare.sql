-- Ads that could be read once, since Salesforce was told of them: some to
-- choose from, in whatever order they lie.
select distinct ad_id from (
    select ad_id from usage_sync.record
    where state = 'reported' and ad_id <> all ($1)
    limit $2
) as told
