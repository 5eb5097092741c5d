-- Ads that are to be tried again and have no room in Redis wait here for the
-- sweep. A change would have set their attempts to none.
with waiting as materialized (
    select ad.ad_id, given.pause from usage_sync.ad as ad
    join unnest($1::text[], $2::double precision[]) as given (ad_id, pause) using (ad_id)
    where ad.state = 'pending' and ad.attempts > 0
    order by ad.ad_id
    for update of ad
)
update usage_sync.ad as ad
set retry_at = clock_timestamp() + make_interval(secs => waiting.pause)
from waiting
where ad.ad_id = waiting.ad_id
