-- Writes what became of each ad, where the token is still the worker's own.
-- Answers the ads that were, whether their state is another one now, and whether
-- they changed meanwhile.
-- The answers travel with the locked rows: the planner takes an array for ten
-- rows and would compare every answer with every row if they met once more.
with answer as materialized (
    select ad.ad_id, ad.state as state_before, given.version, given.state, given.code,
        given.message, given.attempt, given.suspicion, given.alone
    from usage_sync.ad as ad
    join unnest(
        $1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::integer[],
        $9::integer[], $10::boolean[]
    ) as given (ad_id, token, version, state, code, message, attempt, suspicion, alone) using (ad_id, token)
    order by ad.ad_id
    for update of ad
)
update usage_sync.ad as ad
set token = null,
    settled_version = case answer.state when 'pending' then ad.settled_version else answer.version end,
    state = case when ad.version > answer.version then 'pending' else answer.state end,
    since = case
        when ad.state = case when ad.version > answer.version then 'pending' else answer.state end
        then ad.since else clock_timestamp() end,
    changed_at = case
        when ad.version > answer.version and answer.state <> 'pending' then clock_timestamp()
        else ad.changed_at end,
    reported_at = case answer.state when 'reported' then clock_timestamp() else ad.reported_at end,
    attempts = case answer.state when 'pending' then ad.attempts + answer.attempt else 0 end,
    suspicions = case answer.state when 'pending' then ad.suspicions + answer.suspicion else 0 end,
    alone = answer.state <> 'reported' and (ad.alone or answer.alone),
    -- A newer version waits for nothing: with a time here the sweep would pass it over.
    retry_at = case
        when answer.state = 'rejected' and ad.version <= answer.version
        then clock_timestamp() + make_interval(secs => $8) end,
    error_code = answer.code,
    error_message = answer.message
from answer
where ad.ad_id = answer.ad_id
returning ad.ad_id, ad.state <> answer.state_before as state_changed,
    ad.version > answer.version as is_ahead
