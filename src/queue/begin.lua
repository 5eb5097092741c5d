--[[
  Counts in advance that a worker dies with the ids in this hand. Putting them
  down takes it back, which a dead worker does not.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  end of the lease, how long to remember in ms, id...
]]
local claimed, deaths = KEYS[3], KEYS[6]
for i = 3, #ARGV do
    local id = ARGV[i]
    if tonumber(redis.call('ZSCORE', claimed, id) or -1) == tonumber(ARGV[1]) then
        local count = tonumber(redis.call('HGET', deaths, id) or 0)
        -- Removed first: a Redis whose memory is full refuses a script whose
        -- first write is one that may grow it, and work must go on then, too.
        redis.call('HDEL', deaths, id)
        redis.call('HSET', deaths, id, count + 1)
    end
end
redis.call('PEXPIRE', deaths, ARGV[2])
