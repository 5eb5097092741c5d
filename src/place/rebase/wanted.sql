-- What the app wants of one page of them.
insert into pg_temp.org_wanted (ad_id, line)
select distinct ad_id, line from usage_sync.wanted($1)
