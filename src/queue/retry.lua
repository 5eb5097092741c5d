--[[
  Puts ids down to be tried again after a pause. One that changed while it was
  in hand goes to the tail at once.

  KEYS  queue, queued, claimed, retry
  ARGV  end of the lease, then pairs of id and pause in ms
]]
local queue, queued, claimed, retry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV, 2 do
    local id = ARGV[i]
    if tonumber(redis.call('ZSCORE', claimed, id) or -1) == tonumber(ARGV[1]) then
        redis.call('ZREM', claimed, id)
        if redis.call('SISMEMBER', queued, id) == 1 then
            redis.call('RPUSH', queue, id)
        else
            redis.call('ZADD', retry, now + tonumber(ARGV[i + 1]), id)
        end
    end
end
