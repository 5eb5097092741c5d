-- The ad's id ends at the first colon, unless the app has an ad whose id has
-- colons and that fits.
insert into pg_temp.org_difference (external_id, ad_id, line, salesforce_id, kind)
select distinct on (stranger.external_id)
    stranger.external_id, stranger.ad_id, stranger.line, stranger.salesforce_id, 'unknown'
from pg_temp.org_stranger as stranger left join pg_temp.org_wanted as wanted using (ad_id, line)
order by stranger.external_id, wanted.ad_id is null, stranger.at
on conflict (external_id) do nothing
