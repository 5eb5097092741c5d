-- The watched tables, and those that the view reads, directly or through other
-- views, without their being watched.
with recursive relation (oid) as (
    select to_regclass('usage_sync.usage')::oid
    union
    select depend.refobjid
    from relation
    join pg_rewrite as rule on rule.ev_class = relation.oid
    join pg_depend as depend
        on depend.classid = 'pg_rewrite'::regclass and depend.objid = rule.oid
        and depend.refclassid = 'pg_class'::regclass
), watched (oid) as (
    select distinct tgrelid from pg_trigger
    where tgfoid = to_regproc('usage_sync.capture') and tgenabled <> 'D'
)
select
    coalesce((select array_agg(oid::regclass::text order by oid::regclass::text) from watched), '{}'),
    coalesce((
        select array_agg(oid::regclass::text order by oid::regclass::text)
        from relation join pg_class using (oid)
        where relkind in ('r', 'p') and oid not in (select oid from watched)
    ), '{}')
