-- The journal's ids grow with time, so its oldest entries stand first.
delete from usage_sync.journal where id in (
    select id from usage_sync.journal
    where at < clock_timestamp() - make_interval(secs => $1)
    order by id
    limit $2
)
