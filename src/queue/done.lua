--[[
  Puts ids down for good. One that changed while it was in hand goes to the
  tail. An id that is no longer in this hand is left alone.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  end of the lease, id...
]]
local queue, queued, claimed, deaths = KEYS[1], KEYS[2], KEYS[3], KEYS[6]
for i = 2, #ARGV do
    local id = ARGV[i]
    if tonumber(redis.call('ZSCORE', claimed, id) or -1) == tonumber(ARGV[1]) then
        redis.call('ZREM', claimed, id)
        redis.call('HDEL', deaths, id)
        if redis.call('SISMEMBER', queued, id) == 1 then
            redis.call('RPUSH', queue, id)
        end
    end
end
