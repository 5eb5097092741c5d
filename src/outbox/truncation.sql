-- The changes that stand for every known ad.
select coalesce(array_agg(id), '{}'), coalesce(min(changed_at), clock_timestamp())
from usage_sync.change where ad_id is null
