--[[
  Brings to the tail what waits for nobody: ids whose lease ran out (their
  worker died), ids whose backoff is over, and ids that the set calls queued
  though the list has lost them (an evicted key). Others may have come
  meanwhile: those of the lost for which there is no room are forgotten, and are
  offered again by the sweep.

  KEYS  queue, queued, claimed, retry, suspects, deaths, filled
  ARGV  most ids a time, most ids in Redis
  Returns the numbers of expired leases, of due retries, of lost ids, whether
  Redis had lost its memory since the last call (1) or not (0), and the number
  of suspects.
]]
local queue, queued, claimed, retry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local suspects, filled = KEYS[5], KEYS[7]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local expired = redis.call('ZRANGEBYSCORE', claimed, '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(expired) do
    redis.call('ZREM', claimed, id)
    redis.call('SADD', queued, id)
    redis.call('RPUSH', queue, id)
end

local due = redis.call('ZRANGEBYSCORE', retry, '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
    redis.call('ZREM', retry, id)
    if redis.call('SADD', queued, id) == 1 then
        redis.call('RPUSH', queue, id)
    end
end

-- The set holds what stands in the list, suspects, and ids in hand that changed
-- meanwhile. If it holds more, the list has lost something; only then is the
-- whole of it looked through.
local lost, put_aside, length = 0, redis.call('ZCARD', suspects), redis.call('LLEN', queue)
local surplus = redis.call('SCARD', queued) - length - put_aside
if surplus > 0 then
    for _, id in ipairs(redis.call('ZRANGE', claimed, 0, -1)) do
        surplus = surplus - redis.call('SISMEMBER', queued, id)
    end
end
if surplus > 0 then
    local waits = {}
    for _, id in ipairs(redis.call('LRANGE', queue, 0, -1)) do
        waits[id] = true
    end
    local room = tonumber(ARGV[2]) - length - put_aside
        - redis.call('ZCARD', claimed) - redis.call('ZCARD', retry)
    for _, id in ipairs(redis.call('SMEMBERS', queued)) do
        if not waits[id] and not redis.call('ZSCORE', claimed, id)
            and not redis.call('ZSCORE', suspects, id)
        then
            if lost < room then
                redis.call('RPUSH', queue, id)
            else
                redis.call('SREM', queued, id)
            end
            lost = lost + 1
        end
    end
end

local emptied = redis.call('SET', filled, '1', 'NX') and 1 or 0
return { #expired, #due, lost, emptied, put_aside }
