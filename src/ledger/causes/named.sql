-- Two ads have the same cause if their errors differ in nothing but record ids,
-- quoted values and numbers. A validation rule's text is its author's, and a
-- number in it is part of the rule.
with refused as (
    select ad_id, since, error_code as code, coalesce(error_message, '') as message,
        regexp_replace(
            regexp_replace(coalesce(error_message, ''), '"[^"]*"', '"…"', 'g'),
            '\m(?=[a-zA-Z0-9]*[0-9])([a-zA-Z0-9]{15}|[a-zA-Z0-9]{18})\M', '…', 'g'
        ) as words
    from usage_sync.ad
    where state = 'rejected'
), named as (
    select ad_id, since, code,
        coalesce(
            substring(message from '\m[A-Za-z]\w*__[cr]\M'),
            substring(message from '\[([A-Za-z][\w, ]*)\]')
        ) as field,
        case when code = 'FIELD_CUSTOM_VALIDATION_EXCEPTION' then words
            else regexp_replace(words, '\m[0-9]+([.,][0-9]+)*\M', '…', 'g') end as rule
    from refused
)
