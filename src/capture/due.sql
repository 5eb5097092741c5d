-- One page of the ads whose time to be tried again has come: rejected ones,
-- and those for whose backoff Redis had no room. Each half has an index that
-- knows its state.
select ad_id, retry_at from (
    (
        select ad_id, retry_at from usage_sync.ad
        where state = 'rejected' and retry_at <= clock_timestamp() and (retry_at, ad_id) > ($1, $2)
        order by retry_at, ad_id
        limit $3
    )
    union all
    (
        select ad_id, retry_at from usage_sync.ad
        where state = 'pending' and retry_at <= clock_timestamp() and (retry_at, ad_id) > ($1, $2)
        order by retry_at, ad_id
        limit $3
    )
) as due
order by retry_at, ad_id
limit $3
