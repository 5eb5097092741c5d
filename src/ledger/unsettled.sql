-- The ads of which Salesforce is still to be told something: those that are
-- pending, and those that the app has changed and nobody has looked at yet, as
-- while no daemon runs. Rejected ones are not on their way. Of a table that was
-- truncated no ad is named: that takes units away, and brings none.
select ad_id from usage_sync.ad where state = 'pending'
union
select ad_id from usage_sync.change where ad_id is not null
