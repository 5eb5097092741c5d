-- Some ads of the view, where Salesforce was told of none yet. It asks for the
-- ids alone, which can often be had though the fields cannot.
select distinct ad_id from (
    select ad_id::text as ad_id from usage_sync.usage where ad_id is not null limit $2
) as listed
where ad_id <> all ($1)
