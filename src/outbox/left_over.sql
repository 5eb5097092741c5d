-- Of one page of the ads that have records: those that the view no longer has.
with page as (
    select distinct ad_id from usage_sync.record
    where $1::text is null or ad_id > $1
    order by ad_id
    limit $2
), gone as (
    select ad_id from page
    except
    select ad_id from usage_sync.wanted((select array_agg(ad_id) from page))
)
select (select max(ad_id) from page), (select coalesce(array_agg(ad_id), '{}') from gone)
