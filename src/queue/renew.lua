--[[
  Prolongs the lease of the ids that are still in this hand. The hand names
  the new end, so that the same call may run twice: what the first one
  prolonged has the new end already.

  KEYS  queue, queued, claimed, retry, suspects, deaths
  ARGV  new end of the lease, number of ends that it may have now, those ends,
        id...
  Returns the ids that the hand has lost.
]]
local claimed = KEYS[3]
local lease, ends = ARGV[1], tonumber(ARGV[2])
local mine = { [tonumber(lease)] = true }
for i = 3, 2 + ends do
    mine[tonumber(ARGV[i])] = true
end
local lost = {}
for i = 3 + ends, #ARGV do
    local id = ARGV[i]
    if mine[tonumber(redis.call('ZSCORE', claimed, id) or -1)] then
        -- Removed first: a Redis whose memory is full refuses a script whose
        -- first write is one that may grow it, and a lease must go on then, too.
        redis.call('ZREM', claimed, id)
        redis.call('ZADD', claimed, lease, id)
    else
        lost[#lost + 1] = id
    end
end
return lost
