--[[
  Takes ids from the head into one hand. The end of the lease is the proof of
  ownership: the lease of a later hand always ends later.

  KEYS  queue, queued, claimed, retry
  ARGV  most ids, lease in ms
  Returns the end of the lease, then the ids.
]]
local queue, queued, claimed, retry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local lease = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
local taken = { string.format('%d', lease) }
for _, id in ipairs(redis.call('LPOP', queue, ARGV[1]) or {}) do
    if redis.call('ZSCORE', claimed, id) then
        -- In another hand, and pushed by somebody who did not look.
        redis.call('SADD', queued, id)
    else
        redis.call('SREM', queued, id)
        redis.call('ZREM', retry, id)
        redis.call('ZADD', claimed, lease, id)
        taken[#taken + 1] = id
    end
end
return taken
