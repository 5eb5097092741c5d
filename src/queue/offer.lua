--[[
  Puts those ids at the tail that Redis knows nothing of. Unlike enqueue it
  leaves an id alone that waits out its backoff: nothing about it is new.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  most ids in Redis, id...
  Returns the number of ids that were put there, and of those for which there
  was no room.
]]
local queue, queued, claimed, retry, suspects = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local room = tonumber(ARGV[1]) - redis.call('LLEN', queue) - redis.call('ZCARD', claimed)
    - redis.call('ZCARD', retry) - redis.call('ZCARD', suspects)
local added, refused = 0, 0
for i = 2, #ARGV do
    local id = ARGV[i]
    if not redis.call('ZSCORE', claimed, id) and not redis.call('ZSCORE', retry, id)
        and redis.call('SISMEMBER', queued, id) == 0
    then
        if room > 0 then
            redis.call('SADD', queued, id)
            redis.call('RPUSH', queue, id)
            room, added = room - 1, added + 1
        else
            refused = refused + 1
        end
    end
end
return { added, refused }
