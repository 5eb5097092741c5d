-- Reports go out from here, whatever was written down before.
insert into usage_sync.place as place (org_id, cluster_id, pinned_at)
values ($1, usage_sync.cluster(), clock_timestamp())
on conflict (one) do update
set org_id = excluded.org_id, cluster_id = excluded.cluster_id, pinned_at = excluded.pinned_at
