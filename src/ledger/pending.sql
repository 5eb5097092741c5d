-- What Salesforce is still to be told of these ads: for each contract product the
-- units that come and those that go. Units that one ad takes from a product in
-- one line and gives to it in another are neither.
--
-- What comes is never too little. The units of a record count as held only if they
-- are known for certain: it is not in doubt, and nobody has the ad in hand, whose
-- request may have changed it by now. Units that a record gives, as a credit does,
-- are taken when it goes, so those count in doubt, too.
with line as (
    select ad_id, fields::jsonb as fields, 1 as sign, true as is_certain
    from usage_sync.wanted($1)
    union all
    select known.ad_id, held.fields, -1, held.is_certain
    from unnest($1) as known (ad_id)
    cross join lateral (
        select fields, record.state = 'reported' and exists (
            select from usage_sync.ad where ad.ad_id = known.ad_id and ad.token is null
        ) as is_certain
        from usage_sync.record
        where record.ad_id = known.ad_id
        offset 0
    ) as held
), named as (
    -- Salesforce does not mind the case of field names; most are written as it
    -- writes them, and found without looking at all of them.
    select line.ad_id, line.sign, line.is_certain, line.fields,
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
    select named.ad_id, named.sign, named.is_certain,
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
        -- Salesforce takes a number as JSON or as a text, also `.5` and `5e-1`, rounds
        -- away digits behind the point, of which a division here makes twenty, and
        -- refuses what has more than 18 before it: that is not on its way.
        case when named.quantity ~ '^[ \t\r\n]*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,2})?[ \t\r\n]*$'
            then named.quantity::numeric end as quantity
    from named
), net as (
    select product_id, external_id, sum(sign * round(quantity, 18)) as units
    from booked
    where (product_id is not null or external_id is not null)
        and abs(quantity) < 1e18 and (is_certain or quantity < 0)
    group by ad_id, product_id, external_id
)
select product_id, external_id,
    sum(greatest(units, 0))::text as coming, sum(greatest(-units, 0))::text as going
from net
where units <> 0
group by product_id, external_id
