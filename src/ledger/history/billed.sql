-- What stood on a contract: the query of docs/journal.md, for those records
-- alone that were ever on it. A record may have been moved since, so its newest
-- entry decides.
with concerned as materialized (
    select distinct external_id from usage_sync.journal where contract = any ($2)
), told as materialized (
    select * from usage_sync.journal
    where at <= $1 and action <> 'reject' and external_id in (select external_id from concerned)
), standing as (
    select distinct on (external_id) *
    from told as entry
    where action <> 'withdraw' and not exists (
        select from told as gone
        where gone.external_id = entry.external_id and gone.action = 'withdraw'
            and case when gone.salesforce_id = entry.salesforce_id
                then gone.token > entry.token or gone.id > entry.id
                else gone.token > entry.token and gone.id > entry.id
            end
    )
    order by external_id, token desc, id desc
)
select ad_id, line, contract, external_id, salesforce_id, fields::text, at as since
from standing
where contract = any ($2)
order by ad_id, line
