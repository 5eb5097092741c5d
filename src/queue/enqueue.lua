--[[
  Puts ids at the tail because something about them changed. An id that waits
  out a backoff comes to the tail at once; one that is in hand is marked, so
  that putting it down queues it again; one that is queued is folded.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  most ids in Redis, id...
  Returns the number of ids for which there was no room.
]]
local queue, queued, claimed, retry, suspects = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local room = tonumber(ARGV[1]) - redis.call('LLEN', queue) - redis.call('ZCARD', claimed)
    - redis.call('ZCARD', retry) - redis.call('ZCARD', suspects)
local refused = 0
for i = 2, #ARGV do
    local id = ARGV[i]
    if redis.call('ZSCORE', claimed, id) then
        redis.call('SADD', queued, id)
    elseif room > 0 or redis.call('ZSCORE', retry, id) then
        -- Adding goes first: a Redis whose memory is full judges a script by
        -- the first of its writes, and must not be made to grow further.
        if redis.call('SADD', queued, id) == 1 then
            redis.call('RPUSH', queue, id)
            room = room - 1 + redis.call('ZREM', retry, id)
        end
    elseif redis.call('SISMEMBER', queued, id) == 0 then
        refused = refused + 1
    end
end
return refused
