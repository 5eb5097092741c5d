--[[
  Takes ids from the head into one hand. The end of the lease is the proof of
  ownership: the lease of a later hand always ends later. An id that too many
  workers died with is put aside, to be handled alone.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  most ids, lease in ms, deaths that make a suspect
  Returns the end of the lease, the number of ids that left the list, and the
  ids in hand.
]]
local queue, queued, claimed, retry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local suspects, deaths = KEYS[5], KEYS[6]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = now + tonumber(ARGV[2])
local popped = redis.call('LPOP', queue, ARGV[1]) or {}
local taken = { string.format('%d', lease), tostring(#popped) }
for _, id in ipairs(popped) do
    if redis.call('ZSCORE', claimed, id) then
        -- In another hand, and pushed by somebody who did not look.
        redis.call('SADD', queued, id)
    elseif tonumber(redis.call('HGET', deaths, id) or 0) >= tonumber(ARGV[3]) then
        redis.call('SADD', queued, id)
        redis.call('ZADD', suspects, 'NX', now, id)
    else
        redis.call('SREM', queued, id)
        redis.call('ZREM', retry, id)
        redis.call('ZADD', claimed, lease, id)
        taken[#taken + 1] = id
    end
end
return taken
