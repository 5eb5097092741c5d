--[[
  Notes that a daemon lives, and forgets those of which that was not heard for
  too long.

  KEYS  daemons
  ARGV  the daemon, for how many milliseconds this holds
  Returns the number of other daemons that were forgotten.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
