-- Tells the app; not while a notification queue half full threatens its commits.
select pg_notify('usage_sync_status', ad_id)
from unnest($1::text[]) as ad_id
where pg_notification_queue_usage() < 0.5 and octet_length(ad_id) < 8000
