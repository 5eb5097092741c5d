--[[
  What each daemon says of itself, for as long as it goes on saying so. Without
  a daemon it only tells.

  KEYS  crew
  ARGV  the daemon or nothing, its words, for how many milliseconds they hold
  Returns the words of those that live.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
    local ending = string.format('%d', now + ARGV[3])
    redis.call('HSET', KEYS[1], ARGV[1], ending .. ' ' .. ARGV[2])
end
local living = {}
local said = redis.call('HGETALL', KEYS[1])
for place = 1, #said, 2 do
    local ending, words = string.match(said[place + 1], '^(%d+) (.*)$')
    if ending and tonumber(ending) > now then
        living[#living + 1] = words
    else
        redis.call('HDEL', KEYS[1], said[place])
    end
end
return living
