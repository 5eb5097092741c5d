-- What stands in the org, for as long as this connection lives.
create temp table if not exists org_record (
    external_id text primary key, salesforce_id text not null, revision bigint
);
create temp table if not exists org_difference (
    external_id text primary key, ad_id text not null, line text not null, salesforce_id text,
    kind text not null
);
truncate pg_temp.org_record, pg_temp.org_difference
