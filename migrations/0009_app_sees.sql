-- What the app's people see of a refusal, and a journal that can only grow.

-- The columns that were there stay as they are; new ones follow them.
create or replace view usage_sync.ad_status as
select
    ad.ad_id,
    ad.state,
    ad.since,
    ad.changed_at,
    ad.reported_at,
    ad.attempts,
    ad.error_code,
    ad.error_message,
    coalesce(
        (
            select jsonb_agg(
                jsonb_build_object(
                    'line', record.line,
                    'external_id', record.external_id,
                    'salesforce_id', record.salesforce_id,
                    'fields', record.fields
                ) order by record.line
            )
            from usage_sync.record
            where record.ad_id = ad.ad_id and record.state = 'reported'
        ),
        '[]'
    ) as records,
    -- The error in words for whoever booked the ad. A lock is known by its code,
    -- or by the words of the rule that an administrator wrote; what else such a
    -- rule says is meant for people as it is.
    case
        when ad.error_code is null then null
        when ad.error_code = 'FIELD_CUSTOM_VALIDATION_EXCEPTION' and ad.error_message ~* '\mfulfilled\M'
            then refusal.whose || ' is fulfilled: its usage is locked'
        when ad.error_code = 'ENTITY_IS_LOCKED'
            or ad.error_code = 'FIELD_CUSTOM_VALIDATION_EXCEPTION' and ad.error_message ~* '\mlocked\M'
            then refusal.whose || ' is locked: its usage cannot be changed'
        when ad.error_code = 'FIELD_CUSTOM_VALIDATION_EXCEPTION'
            then 'Salesforce refuses this: ' || ad.error_message
        when ad.error_code = 'REQUIRED_FIELD_MISSING'
            then 'Something that Salesforce asks for is not filled in: ' || ad.error_message
        when ad.error_code in (
            'INVALID_CROSS_REFERENCE_KEY', 'INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY',
            'ENTITY_IS_DELETED'
        )
            then refusal.whose || ' or a product of it is not to be found in Salesforce'
        when ad.error_code = 'UNABLE_TO_LOCK_ROW'
            then 'Somebody else changes the same contract in Salesforce just now'
        when ad.error_code ~ '^(VIEW|AD_ID_)'
            then 'The app''s own data of this ad cannot be reported: ' || ad.error_message
        else format('Salesforce refuses this: %s (%s)', ad.error_message, ad.error_code)
    end
    || case ad.state when 'pending' then '. It is tried again by itself' else '' end
        as reason,
    -- Line by line what Salesforce would not take, against what it holds. Wanted
    -- is null where the line was to go, held where Salesforce has nothing of it
    -- or, with in_doubt, where nobody knows what.
    coalesce(refusal.lines, '[]') as refused
from usage_sync.ad
left join lateral (
    select
        coalesce(
            -- Moving a line needs both contracts to be open. What failed only
            -- because another line did has a code of its own.
            'Contract ' || string_agg(distinct names.contract, ' or ')
                filter (where names.contract <> '' and entry.code = ad.error_code),
            'The contract'
        ) as whose,
        jsonb_agg(
            jsonb_build_object(
                'line', entry.line,
                'contract', entry.contract,
                'wanted', entry.fields,
                'held', case when record.state = 'reported' then record.fields end,
                'held_contract', record.contract,
                'salesforce_id', record.salesforce_id,
                'in_doubt', coalesce(record.state = 'sending', false),
                'code', entry.code,
                'message', entry.message
            ) order by entry.line
        ) filter (where names.place = 1) as lines
    from usage_sync.journal as entry
    left join usage_sync.record as record
        on record.external_id = entry.external_id and record.ad_id = entry.ad_id
    -- Each entry twice: once for the contract that it goes to, once for the one
    -- that it comes from.
    cross join lateral (values (1, entry.contract), (2, record.contract)) as names (place, contract)
    where entry.ad_id = ad.ad_id and entry.action = 'reject' and entry.line is not null
        and entry.token = (
            select token from usage_sync.journal as newest
            where newest.ad_id = ad.ad_id and newest.action = 'reject'
            order by id desc
            limit 1
        )
) as refusal on ad.state = 'rejected';

comment on view usage_sync.ad_status is
    'What became of each ad: pending, reported or rejected, since when, and why in words.';

-- Salesforce has what the journal tells, so nothing in it is to be made undone.
-- Only the retention job takes out what is old; it says so for its own
-- transaction (prune.sql).
create function usage_sync.keep_journal() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' and current_setting('usage_sync.retention', true) = 'on' then
        return null;
    end if;
    raise exception 'usage_sync.journal is append-only: % is refused', tg_op
        using errcode = 'insufficient_privilege',
            hint = 'Entries go once they are older than JOURNAL_RETENTION.';
end
$$;
revoke execute on function usage_sync.keep_journal() from public;

create trigger journal_append_only
before update or delete or truncate on usage_sync.journal
for each statement execute function usage_sync.keep_journal();
