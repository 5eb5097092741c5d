--[[
  Asks whether ids may be claimed, and sets calls aside for them.

  At once while more than half of the credit is there; below, the pause since
  the last claim of any daemon grows until it is the time in which one call
  flows in. Calls that are full need not wait for it: none are cheaper.

  KEYS  budget, queue
  ARGV  share, records a call, most ids a claim, pause between two trials in
        ms, calls used and allowed as the caller knows them, or -1 and -1
  Returns the verdict and two numbers:
    empty  nothing waits
    go     so many ids may be claimed, so many calls are set aside
    trial  the same, to find out whether calls are free again
    wait   so many ms
    gone   the budget is used up, a trial is due in so many ms
]]
local key, queue = KEYS[1], KEYS[2]
local share, batch, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local patience, used, allowed = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local waiting = math.min(redis.call('LLEN', queue), most)
if waiting == 0 then return { 'empty', 0, 0 } end

local now = clock()
local bucket = open(key, share, now)
if not bucket and allowed >= 0 then
    bucket = learn(nil, share, used, allowed, 0)
end
-- The first answer will tell.
if not bucket then return { 'go', most, 0 } end

local function set_aside(verdict, calls, ids)
    bucket.credit, bucket.used = bucket.credit - calls, bucket.used + calls
    bucket.last = now
    close(key, bucket, now)
    return { verdict, ids, calls }
end

local left = math.floor(bucket.budget - bucket.used)
if left < 1 or bucket.gone and left < bucket.budget / 100 then
    bucket.gone = true
    local due = math.ceil(bucket.seen + patience - now)
    if due <= 0 then
        bucket.seen = now
        return set_aside('trial', 1, 1)
    end
    close(key, bucket, now)
    return { 'gone', due, 0 }
end
bucket.gone = false

local credit = math.min(bucket.credit, left)
local pause = math.max(0, 1 - 2 * credit / bucket.capacity) / bucket.rate
local due = bucket.last + pause
local calls = waiting / batch
calls = math.min(now >= due and math.ceil(calls) or math.floor(calls), math.floor(credit))
if calls >= 1 then
    return set_aside('go', calls, math.min(most, calls * batch))
end
-- Written down, too: a clock that fell back counts on from here.
close(key, bucket, now)
local wait = credit < 1 and (1 - credit) / bucket.rate or due - now
return { 'wait', math.max(1, math.ceil(wait)), 0 }
