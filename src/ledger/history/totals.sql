-- Numbers that add up; in Postgres, which adds decimals exactly.
select field.key, sum((field.value #>> '{}')::numeric)::text
from unnest($1::text[]) as record (fields)
cross join lateral jsonb_each(record.fields::jsonb) as field
where jsonb_typeof(field.value) = 'number'
group by field.key
order by field.key
