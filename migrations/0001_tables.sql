-- What usage-sync keeps in the app's database. Nothing here refers to a table
-- of the app, so creating it takes no lock that the app could wait for.

-- The outbox: one row for each ad that a statement of the app touched. The
-- only table that the app's transactions write, through the capture trigger.
create table usage_sync.change (
    id bigint generated always as identity,
    -- Null stands for every known ad: a watched table was truncated, and
    -- listing a million ads is not the app's transaction's work.
    ad_id text,
    changed_at timestamptz not null default clock_timestamp(),
    constraint change_pkey primary key (id)
) with (
    -- Rows live for milliseconds; without this the index is mostly dead entries.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000
);
-- Truncations are rare, and looked for often.
create index change_truncation on usage_sync.change (id) where ad_id is null;

-- One row for each ad ever seen.
create table usage_sync.ad (
    ad_id text not null,
    -- Grows with each change; the ad is settled once settled_version has caught up.
    version bigint not null default 1,
    settled_version bigint not null default 0,
    state text not null default 'pending',
    -- The fencing token of the newest hand. Whoever holds an older one is overtaken.
    token bigint,
    -- Tries since the last change that ended neither in reported nor in rejected.
    attempts integer not null default 0,
    -- When the oldest change that is not settled was made.
    changed_at timestamptz not null,
    -- Since when the ad is in its state.
    since timestamptz not null default clock_timestamp(),
    reported_at timestamptz,
    -- When a rejected ad is tried again by itself.
    retry_at timestamptz,
    error_code text,
    error_message text,
    constraint ad_pkey primary key (ad_id),
    constraint ad_state_known check (state in ('pending', 'reported', 'rejected')),
    constraint ad_settled_not_ahead check (settled_version <= version),
    constraint ad_rejected_has_reason check (state <> 'rejected' or error_code is not null)
) with (
    -- Every ad is updated right after its insert: leave room for it on the page.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000
);
create index ad_pending on usage_sync.ad (changed_at, ad_id) where state = 'pending';
create index ad_rejected on usage_sync.ad (retry_at, ad_id) where state = 'rejected';

-- Fencing tokens; sent to Salesforce as the revision of a record. Without a
-- cache: numbers that a session keeps in stock are handed out after higher ones
-- of another session, and a token must be higher than all before it.
create sequence usage_sync.token;

-- The ledger: what Salesforce holds, as far as it has told us.
create table usage_sync.record (
    external_id text not null,
    ad_id text not null,
    line text not null,
    contract text,
    -- What was last reported. In state sending only the names of the fields
    -- count: they may be set in Salesforce, to what nobody knows.
    fields jsonb not null,
    salesforce_id text,
    -- sending: a request was made whose outcome is not known.
    state text not null,
    reported_at timestamptz,
    constraint record_pkey primary key (external_id),
    constraint record_state_known check (state in ('sending', 'reported')),
    constraint record_reported_has_id check (state <> 'reported' or salesforce_id is not null),
    constraint record_fields_object check (jsonb_typeof(fields) = 'object')
) with (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000
);
create index record_ad on usage_sync.record (ad_id);

-- The write-ahead log of requests: committed before anything is sent, gone in
-- the transaction that records the answers. One row stands for all records
-- of a request. A row that outlived its worker says which records are in doubt.
create table usage_sync.intent (
    id bigint generated always as identity,
    ad_ids text[] not null,
    lines text[] not null,
    external_ids text[] not null,
    contracts text[] not null,
    -- For each record a JSON object of the fields that the request may set,
    -- with null as every value.
    blanks text[] not null,
    made_at timestamptz not null default clock_timestamp(),
    constraint intent_pkey primary key (id),
    constraint intent_arrays_match check (
        cardinality(ad_ids) = cardinality(external_ids)
        and cardinality(lines) = cardinality(external_ids)
        and cardinality(contracts) = cardinality(external_ids)
        and cardinality(blanks) = cardinality(external_ids)
    )
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The audit trail: why was this billed?
create table usage_sync.journal (
    id bigint generated always as identity,
    at timestamptz not null default clock_timestamp(),
    action text not null,
    ad_id text not null,
    -- Null when the ad as a whole was rejected.
    line text,
    external_id text,
    contract text,
    salesforce_id text,
    -- The version of the ad that was reported, and the token it was reported with.
    version bigint not null,
    token bigint not null,
    fields jsonb,
    code text,
    message text,
    constraint journal_pkey primary key (id),
    constraint journal_action_known check (action in ('create', 'update', 'withdraw', 'reject'))
);
create index journal_ad on usage_sync.journal (ad_id, id);
create index journal_at on usage_sync.journal using brin (at);
