, grouped as (
    select code, field, rule, count(*) as count, min(since) as since,
        (array_agg(ad_id order by since, ad_id))[1] as ad_id
    from named
    group by code, field, rule
)
select grouped.code, grouped.field, grouped.rule, grouped.count, grouped.since, grouped.ad_id,
    coalesce(status.error_message, '') as message, status.reason, status.refused::text
from grouped
join usage_sync.ad_status as status using (ad_id)
order by grouped.count desc, grouped.code, grouped.rule
