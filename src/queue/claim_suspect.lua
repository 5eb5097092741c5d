--[[
  Takes the one suspect that has waited longest into a hand of its own.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  lease in ms
  Returns the end of the lease, how often a worker died with the id, and the
  id; nothing when there is no suspect.
]]
local queued, claimed, retry = KEYS[2], KEYS[3], KEYS[4]
local suspects, deaths = KEYS[5], KEYS[6]
local id = redis.call('ZPOPMIN', suspects)[1]
-- One that is in a hand all the same keeps its mark: it is queued again when
-- that hand puts it down.
if not id or redis.call('ZSCORE', claimed, id) then
    return {}
end
local time = redis.call('TIME')
local lease = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
redis.call('SREM', queued, id)
redis.call('ZREM', retry, id)
redis.call('ZADD', claimed, lease, id)
return { string.format('%d', lease), redis.call('HGET', deaths, id) or '0', id }
