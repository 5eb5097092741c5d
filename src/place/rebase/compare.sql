-- Where org and ledger disagree. The revision that a record must have is the
-- token of its last entry in the journal; of one older than the journal only
-- that it is no newer than this database.
insert into pg_temp.org_difference (external_id, ad_id, line, salesforce_id, kind)
select record.external_id, record.ad_id, record.line, org.salesforce_id,
    case when org.external_id is null then 'missing' else 'other' end
from usage_sync.record as record
left join pg_temp.org_record as org using (external_id)
left join lateral (
    select token from usage_sync.journal
    where journal.ad_id = record.ad_id and journal.external_id = record.external_id
        and action in ('create', 'update')
    order by id desc
    limit 1
) as told on true
where case
    when org.external_id is null then record.state = 'reported' or record.salesforce_id is not null
    else record.salesforce_id is distinct from org.salesforce_id
        or record.state = 'reported' and (
            org.revision is null or org.revision <> coalesce(told.token, org.revision) or org.revision > $1
        )
end
