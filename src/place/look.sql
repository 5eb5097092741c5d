-- What the database says of its place. A missing row is a place not pinned yet.
select place.org_id, place.cluster_id, place.pinned_at, place.paused_since, place.paused_because,
    usage_sync.cluster() as cluster,
    (select case when is_called then last_value else 0 end from usage_sync.token) as newest
from (select) as always left join usage_sync.place on true
