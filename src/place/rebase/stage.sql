-- What stands in the org, for as long as this connection lives.
create temp table if not exists org_record (
    external_id text primary key, salesforce_id text not null, revision bigint
);
-- Every way to tell ad and line in the external id of a record that the ledger
-- does not know.
create temp table if not exists org_stranger (
    external_id text not null, salesforce_id text not null, ad_id text not null, line text not null,
    at integer not null
);
create index if not exists org_stranger_ad on pg_temp.org_stranger (ad_id);
-- What the app wants of those ads.
create temp table if not exists org_wanted (ad_id text not null, line text);
create temp table if not exists org_difference (
    external_id text primary key, ad_id text not null, line text not null, salesforce_id text,
    kind text not null
);
truncate pg_temp.org_record, pg_temp.org_stranger, pg_temp.org_wanted, pg_temp.org_difference
