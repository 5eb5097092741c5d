--[[
  Writes down what was spent beyond what had been set aside, and what an answer
  of Salesforce told of the org's calls.

  KEYS  budget
  ARGV  share, calls (below 0: fewer than set aside), calls used and allowed
        as an answer to them told, or -1 and -1
]]
local key, share, calls = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local used, allowed = tonumber(ARGV[3]), tonumber(ARGV[4])

local now = clock()
local bucket = open(key, share, now)
if bucket then
    bucket.credit = math.min(bucket.capacity, bucket.credit - calls)
    bucket.used = math.max(0, bucket.used + calls)
    -- A trial that made no call told nothing: the next need not wait.
    if bucket.gone and calls < 0 then bucket.seen = 0 end
end
if allowed >= 0 then
    bucket = learn(bucket, share, used, allowed, now)
end
if bucket then close(key, bucket, now) end
