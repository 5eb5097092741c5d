--[[
  Remembers the highest fencing token that is known to have been used.

  KEYS  token
  ARGV  a token that was used; 0 only asks
  Returns the highest.
]]
local known = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if tonumber(ARGV[1]) > known then
    redis.call('SET', KEYS[1], ARGV[1])
    return ARGV[1]
end
return string.format('%d', known)
