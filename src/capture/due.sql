-- Rejected ads whose time to be tried again has come.
select ad_id from usage_sync.ad
where state = 'rejected' and retry_at <= clock_timestamp()
order by retry_at, ad_id
limit $1
