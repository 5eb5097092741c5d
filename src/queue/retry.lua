--[[
  Puts ids down to be tried again after a pause. One that changed while it was
  in hand goes to the tail at once. Those whose turn comes last leave when too
  many wait: they would use up the room of all others.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  end of the lease, most ids that may wait, then pairs of id and pause
        in ms
  Returns the ids that left, each with what remains of its pause in ms.
]]
local queue, queued, claimed, retry, deaths = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[6]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 3, #ARGV, 2 do
    local id = ARGV[i]
    if tonumber(redis.call('ZSCORE', claimed, id) or -1) == tonumber(ARGV[1]) then
        redis.call('ZREM', claimed, id)
        redis.call('HDEL', deaths, id)
        if redis.call('SISMEMBER', queued, id) == 1 then
            redis.call('RPUSH', queue, id)
        else
            redis.call('ZADD', retry, now + tonumber(ARGV[i + 1]), id)
        end
    end
end
local left = redis.call('ZPOPMAX', retry, math.max(0, redis.call('ZCARD', retry) - tonumber(ARGV[2])))
for i = 2, #left, 2 do
    left[i] = string.format('%d', math.max(0, tonumber(left[i]) - now))
end
return left
