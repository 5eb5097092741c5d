-- What Salesforce is still to be told of these ads: for each contract product the
-- units that come and those that go. Units that one ad takes from a product in
-- one line and gives to it in another are neither.
--
-- What comes is never too little. A record counts as held only if its units are
-- known for certain: it is not in doubt, and nobody has the ad in hand, whose
-- request may have changed it by now.
with line as (
    select ad_id, fields::jsonb as fields, 1 as sign
    from usage_sync.wanted($1)
    union all
    select known.ad_id, held.fields, -1
    from unnest($1) as known (ad_id)
    cross join lateral (
        select fields from usage_sync.record
        where record.ad_id = known.ad_id and record.state = 'reported'
            and exists (
                select from usage_sync.ad where ad.ad_id = known.ad_id and ad.token is null
            )
        offset 0
    ) as held
), named as (
    -- Salesforce does not mind the case of field names; most are written as it
    -- writes them, and found without looking at all of them.
    select line.ad_id, line.sign, line.fields,
        coalesce(line.fields ->> $2::text, (
            select field.value #>> '{}' from jsonb_each(
                case jsonb_typeof(line.fields) when 'object' then line.fields end
            ) as field
            where lower(field.key) = lower($2::text)
            limit 1
        )) as product_id,
        coalesce(line.fields ->> $5::text, (
            select field.value #>> '{}' from jsonb_each(
                case jsonb_typeof(line.fields) when 'object' then line.fields end
            ) as field
            where lower(field.key) = lower($5::text)
            limit 1
        )) as quantity
    from line
), booked as (
    select named.ad_id,
        left(named.product_id, 15) as product_id,
        case when named.product_id is null then (
            select parent.value #>> '{}'
            from jsonb_each(
                case jsonb_typeof(named.fields) when 'object' then named.fields end
            ) as field
            cross join lateral jsonb_each(
                case jsonb_typeof(field.value) when 'object' then field.value end
            ) as parent
            where lower(field.key) = lower($3::text) and lower(parent.key) = lower($4::text)
            limit 1
        ) end as external_id,
        -- Salesforce's numbers have 18 digits at most, and some stand in quotes.
        -- What is none is refused, so it is not on its way.
        case when named.quantity ~ '^\s*[-+]?\d{1,18}(\.\d{0,18})?\s*$'
            then named.sign * named.quantity::numeric else 0 end as units
    from named
), net as (
    select product_id, external_id, sum(units) as units
    from booked
    where product_id is not null or external_id is not null
    group by ad_id, product_id, external_id
)
select product_id, external_id,
    sum(greatest(units, 0))::text as coming, sum(greatest(-units, 0))::text as going
from net
where units <> 0
group by product_id, external_id
