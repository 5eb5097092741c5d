-- How each of these ads stands: one that has a change in the outbox, or anything
-- in hand, is on its way.
select asked.ad_id,
    coalesce(ad.settled_version < ad.version, false)
        or exists (select from usage_sync.change where change.ad_id = asked.ad_id)
        or exists (select from usage_sync.change where change.ad_id is null) as is_pending,
    case ad.state when 'rejected' then ad.error_code end as code,
    case ad.state when 'rejected' then ad.error_message end as message
from unnest($1::text[]) as asked (ad_id)
left join usage_sync.ad as ad using (ad_id)
where ad.ad_id is not null
    or exists (select from usage_sync.change where change.ad_id = asked.ad_id or change.ad_id is null)
