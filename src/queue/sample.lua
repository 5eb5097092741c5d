--[[
  Keeps a figure of one daemon for a while, and tells all that are kept. Without
  a daemon it only tells.

  KEYS  samples
  ARGV  the daemon or nothing, lag in seconds, calls since its last figure, for
        how many milliseconds figures are kept
  Returns how many milliseconds ago, lag and calls of each, one after the other.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now - ARGV[4]))
if ARGV[1] ~= '' then
    local figure = string.format('%d %s %s %s', now, ARGV[2], ARGV[3], ARGV[1])
    redis.call('ZADD', KEYS[1], string.format('%d', now), figure)
    -- Whatever the interval, it stays small.
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -5001)
    return {}
end
local told = {}
for _, figure in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local at, lag, calls = string.match(figure, '^(%d+) (%S+) (%S+) ')
    told[#told + 1] = string.format('%d', math.max(0, now - at))
    told[#told + 1] = lag
    told[#told + 1] = calls
end
return told
