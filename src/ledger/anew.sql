-- What Salesforce holds of these ads is not what the ledger said: another hand
-- was sending at the same time, and which of the two Salesforce heard last is
-- not known, or a request took effect late. So they are to be reported anew, and
-- the new token keeps another hand from recording over that. Answers those that
-- were not pending before.
with hand as materialized (
    select ad_id, state from usage_sync.ad where ad_id = any ($1) order by ad_id for update
), anew as (
    update usage_sync.ad as ad
    set token = nextval('usage_sync.token'),
        version = ad.version + 1,
        state = 'pending',
        since = case ad.state when 'pending' then ad.since else clock_timestamp() end,
        changed_at = case ad.state when 'pending' then ad.changed_at else clock_timestamp() end,
        error_code = null, error_message = null, retry_at = null
    from hand
    where ad.ad_id = hand.ad_id
)
select ad_id, true from hand where state <> 'pending'
