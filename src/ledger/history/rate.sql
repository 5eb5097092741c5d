-- How many records Salesforce took in each slot of so many seconds, slots without
-- any left out. By the clock of the database, which the journal goes by.
select floor(extract(epoch from (clock_timestamp() - at)) / $1)::bigint as ago, count(*)
from usage_sync.journal
where at > clock_timestamp() - make_interval(secs => $1 * $2) and action <> 'reject'
group by ago
