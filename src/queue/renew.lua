--[[
  Prolongs the lease of the ids that are still in this hand.

  KEYS  claimed
  ARGV  end of the lease, lease in ms, id...
  Returns the new end of the lease, then the ids that the hand has lost.
]]
local claimed = KEYS[1]
local time = redis.call('TIME')
local lease = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
local lost = { string.format('%d', lease) }
for i = 3, #ARGV do
    local id = ARGV[i]
    if tonumber(redis.call('ZSCORE', claimed, id) or -1) == tonumber(ARGV[1]) then
        -- Removed first: a Redis whose memory is full refuses a script whose
        -- first write is one that may grow it, and a lease must go on then, too.
        redis.call('ZREM', claimed, id)
        redis.call('ZADD', claimed, lease, id)
    else
        lost[#lost + 1] = id
    end
end
return lost
