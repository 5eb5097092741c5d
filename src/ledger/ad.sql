select ad_id as id, state, since, changed_at, reported_at, attempts, error_code as code,
    error_message as message, reason, refused::text, records::text
from usage_sync.ad_status
where ad_id = $1
