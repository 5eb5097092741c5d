select ad_id, since from named
where code = $1 and field is not distinct from $2 and rule = $3 and ad_id > coalesce($4, '')
order by ad_id
limit $5 + 1
