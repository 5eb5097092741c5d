-- What Salesforce holds of these records is not what the ledger says: they are
-- doubtful, so that the next hand sends them anew, or looks them up and
-- withdraws them.
with doubt as (
    insert into usage_sync.record (external_id, ad_id, line, contract, fields, salesforce_id, state)
    select external_id, ad_id, line, contract, '{}', salesforce_id, 'sending'
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        as found (external_id, ad_id, line, contract, salesforce_id)
    on conflict (external_id) do update
    set state = 'sending', salesforce_id = excluded.salesforce_id
    returning ad_id
)
insert into usage_sync.change (ad_id) select distinct ad_id from doubt
