select
    (select count(*) from usage_sync.ad where state = 'pending')
        + (select count(*) from usage_sync.change) as pending,
    (select count(*) from usage_sync.ad where state = 'rejected') as rejected,
    coalesce(extract(epoch from clock_timestamp() - least(
        (select min(changed_at) from usage_sync.ad where state = 'pending'),
        (select changed_at from usage_sync.change order by id limit 1)
    )), 0)::double precision as lag_seconds,
    (select count(*) from usage_sync.landing) as landing
