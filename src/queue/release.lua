--[[
  Gives ids back to the tail untried.

  KEYS  queue, queued, claimed
  ARGV  end of the lease, id...
]]
local queue, queued, claimed = KEYS[1], KEYS[2], KEYS[3]
for i = 2, #ARGV do
    local id = ARGV[i]
    if tonumber(redis.call('ZSCORE', claimed, id) or -1) == tonumber(ARGV[1]) then
        redis.call('ZREM', claimed, id)
        redis.call('SADD', queued, id)
        redis.call('RPUSH', queue, id)
    end
end
