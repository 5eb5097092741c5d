-- One page of the ads that the org's strangers may belong to.
select coalesce(array_agg(ad_id order by ad_id), '{}') from (
    select distinct ad_id from pg_temp.org_stranger
    where $1::text is null or ad_id > $1
    order by ad_id
    limit $2
) as page
