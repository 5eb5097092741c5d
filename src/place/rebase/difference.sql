-- What a person is told. Unwanted is what the app does not have.
select
    count(*) filter (where kind = 'missing') as missing,
    count(*) filter (where kind = 'other') as other,
    count(*) filter (where kind = 'unknown') as unknown,
    count(*) filter (where kind = 'unknown' and wanted.ad_id is null) as unwanted,
    coalesce((array_agg(external_id order by external_id)
        filter (where kind = 'unknown' and wanted.ad_id is null))[:3], '{}') as examples,
    count(distinct difference.ad_id) as ads
from pg_temp.org_difference as difference
left join pg_temp.org_wanted as wanted using (ad_id, line)
