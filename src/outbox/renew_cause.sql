insert into usage_sync.change (ad_id)
select ad_id from named
where code = $1 and field is not distinct from $2 and rule = $3
