-- One page of the ads that are not settled and wait for nothing, oldest change
-- first.
select ad_id, changed_at from usage_sync.ad
where state = 'pending' and retry_at is null and (changed_at, ad_id) > ($1, $2)
order by changed_at, ad_id
limit $3
