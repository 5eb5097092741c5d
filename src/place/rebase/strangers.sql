-- Records of the org that the ledger does not know. The ad's id ends at the
-- first colon, unless the app has an ad whose id has colons and that fits. What
-- has no colon was not made by usage-sync and stays as it is.
with stranger as (
    select org.external_id, org.salesforce_id, substr(org.external_id, length($1) + 1) as name
    from pg_temp.org_record as org
    where not exists (select from usage_sync.record where record.external_id = org.external_id)
), split as (
    select external_id, salesforce_id, at,
        substr(name, 1, at - 1) as ad_id, substr(name, at + 1) as line
    from stranger cross join lateral generate_series(2, length(name) - 1) as at
    where substr(name, at, 1) = ':'
), ambiguous as (
    select array_agg(distinct ad_id) as ads from split
    where external_id in (select external_id from split group by external_id having count(*) > 1)
), wanted as (
    select ad_id, line from ambiguous, usage_sync.wanted(coalesce(ads, '{}'))
)
insert into pg_temp.org_difference (external_id, ad_id, line, salesforce_id, kind)
select distinct on (split.external_id) split.external_id, split.ad_id, split.line, split.salesforce_id, 'unknown'
from split left join wanted using (ad_id, line)
order by split.external_id, wanted.ad_id is null, split.at
