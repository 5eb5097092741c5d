--[[
  Gives ids back to the tail untried. The hand survived them, which says
  nothing about the hands before.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  end of the lease, id...
]]
local queue, queued, claimed, deaths = KEYS[1], KEYS[2], KEYS[3], KEYS[6]
for i = 2, #ARGV do
    local id = ARGV[i]
    if tonumber(redis.call('ZSCORE', claimed, id) or -1) == tonumber(ARGV[1]) then
        local count = tonumber(redis.call('HGET', deaths, id) or 0)
        redis.call('ZREM', claimed, id)
        if count > 1 then
            redis.call('HINCRBY', deaths, id, -1)
        else
            redis.call('HDEL', deaths, id)
        end
        redis.call('SADD', queued, id)
        redis.call('RPUSH', queue, id)
    end
end
