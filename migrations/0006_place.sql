-- Where this installation reports from and to, and whether it is to report.
-- One row. Its ids are written down before the first report; a daemon that
-- finds itself with other ones reports nothing until `usage-sync rebase`.
create table usage_sync.place (
    one boolean not null default true,
    -- The Salesforce org.
    org_id text,
    -- The database, as usage_sync.cluster() names it.
    cluster_id text,
    pinned_at timestamptz,
    -- Since when nothing is to be reported, and why, in a person's words.
    paused_since timestamptz,
    paused_because text,
    constraint place_pkey primary key (one),
    constraint place_is_one_row check (one),
    constraint place_pinned_as_a_whole check (num_nulls(org_id, cluster_id, pinned_at) in (0, 3)),
    constraint place_reason_of_a_pause check (paused_because is null or paused_since is not null)
);

-- What a physical standby has in common with its primary and a logical copy
-- does not: the system identifier of the cluster (PostgreSQL: "System
-- Information Functions", pg_control_system) and the oid of the database.
-- Everybody may read the identifier unless an administrator forbids it; the
-- name of the database has to do then.
create function usage_sync.cluster() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    system text;
begin
    begin
        select system_identifier::text into system from pg_control_system();
    exception when insufficient_privilege then
        system := current_database();
    end;
    return (
        select pg_catalog.format('%s/%s', system, oid) from pg_database
        where datname = current_database()
    );
end
$$;
revoke execute on function usage_sync.cluster() from public;
