-- Requests that were given up on and may still take effect in Salesforce: one
-- row for each record that such a request was about. Once the time is over in
-- which it may, the record is read back and compared with the ledger. A row
-- outlives the record in the ledger: a create that comes late brings back
-- what was withdrawn meanwhile.
create table usage_sync.landing (
    external_id text not null,
    ad_id text not null,
    line text not null,
    contract text,
    -- The fields that the requests may set, with null as every value.
    fields jsonb not null,
    -- From here on none of the requests takes effect any more.
    until timestamptz not null,
    -- When the record is read back. A look puts it off, so that no other daemon
    -- looks meanwhile, and a look that fails is repeated.
    look_at timestamptz not null,
    constraint landing_pkey primary key (external_id),
    constraint landing_fields_object check (jsonb_typeof(fields) = 'object')
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index landing_due on usage_sync.landing (look_at);
