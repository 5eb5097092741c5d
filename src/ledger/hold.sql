-- Takes the locks of the read that follows, in a statement of its own. A table
-- that the app's migration rewrites or truncates looks empty to a statement that
-- began before it was committed and then waited for its lock (PostgreSQL:
-- Caveats of concurrency control): every ad would seem to be gone. Whoever has
-- the lock before the read begins sees the table as it is.
--
-- The view may read several tables, and the app may alter them in one
-- transaction in any order: then each side has what the other waits for. Half a
-- second is less than deadlock_timeout, after which the server looks for such a
-- ring and may end the app's transaction; so it is the daemon that gives way.
set local lock_timeout to '500ms';
select from usage_sync.usage limit 0;
