-- Records of the org that the ledger does not know. The ad's id ends at some
-- colon. What has no colon was not made by usage-sync and stays as it is.
insert into pg_temp.org_stranger (external_id, salesforce_id, ad_id, line, at)
select external_id, salesforce_id, substr(name, 1, at - 1), substr(name, at + 1), at
from (
    select org.external_id, org.salesforce_id, substr(org.external_id, length($1) + 1) as name
    from pg_temp.org_record as org
    where not exists (select from usage_sync.record where record.external_id = org.external_id)
) as stranger
cross join lateral generate_series(2, length(name) - 1) as at
where substr(name, at, 1) = ':'
