-- To ourselves, and to the trigger, which notifies only while somebody listens.
select pg_notification_queue_usage()
from pg_notify($1, ''), setval('usage_sync.listening', extract(epoch from clock_timestamp())::bigint)
