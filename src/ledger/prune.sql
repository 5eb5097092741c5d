-- Looks through a page of the journal, whose ids grow with time, and takes out
-- what is past the retention and tells nothing of any moment within it: what was
-- refused, and what a later entry of the same record has replaced by then. What
-- stood when the retention began stays, however old it is. A removal goes once
-- nothing is left that it ended.
with horizon as materialized (
    select clock_timestamp() - make_interval(secs => $1) as past
), page as materialized (
    select id, ad_id, external_id, action, token, at < past as is_old, past
    from usage_sync.journal, horizon
    where id > $3
    order by id
    limit $2
), gone as (
    delete from usage_sync.journal where id in (
        select id from page
        where is_old and (
            action = 'reject'
            or exists (
                select from usage_sync.journal as newer
                where newer.ad_id = page.ad_id and newer.external_id = page.external_id
                    and newer.action <> 'reject' and newer.at < page.past
                    and newer.id > page.id and newer.token >= page.token
            )
            or action = 'withdraw' and not exists (
                select from usage_sync.journal as ended
                where ended.ad_id = page.ad_id and ended.external_id = page.external_id
                    and ended.action <> 'reject'
                    and (ended.id < page.id or ended.token < page.token)
            )
        )
    )
    returning id
)
select (select count(*) from gone) as removed,
    (select count(*) from page where is_old) as looked_at,
    (select max(id) from page) as last
