-- The write-ahead log: committed before the request is sent.
insert into usage_sync.intent (ad_ids, lines, external_ids, contracts, blanks)
values ($1, $2, $3, $4, $5)
returning id
