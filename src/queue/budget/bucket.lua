--[[
  The bucket of calls that all daemons of an installation share: what the
  scripts beside this one have in common.

  The org lets so many calls through in any 24 hours, and a share of them is
  our budget. The bucket holds a tenth of it at most, and nine tenths flow in
  within a day, so that no 24 hours spend more than the budget. What the org
  has left within the share is a second bound: it counts the calls of
  everybody, and is what remains when Redis has forgotten ours.

  The hash has these fields:
    allowed, used  the org's calls, as the newest answer told them, and with
                   them what was set aside since
    seen           when that answer came
    credit, at     calls in the bucket, and when they were counted
    last           when a claim was let out last
    gone           1 from when the budget is used up until enough is free
]]
local DAY = 24 * 60 * 60 * 1000

local function clock()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function rule(bucket, share)
    bucket.budget = share * bucket.allowed
    bucket.capacity = math.max(1, bucket.budget / 10)
    bucket.rate = 0.9 * bucket.budget / DAY
end

-- Nothing while nobody knows what the org allows.
local function open(key, share, now)
    local held = redis.call('HMGET', key, 'allowed', 'used', 'seen', 'credit', 'at', 'last', 'gone')
    for i = 1, 7 do
        held[i] = tonumber(held[i] or nil)
        if not held[i] then return nil end
    end
    -- A server that took over may have a clock that lags behind.
    local bucket = {
        allowed = held[1], used = held[2], seen = math.min(held[3], now),
        last = math.min(held[6], now), gone = held[7] == 1,
    }
    rule(bucket, share)
    local flown = math.max(0, now - held[5]) * bucket.rate
    bucket.credit = math.min(bucket.capacity, held[4] + flown)
    return bucket
end

-- What an answer told. A bucket that was not there begins with what cannot
-- have been spent, since our calls are among those that the org has counted,
-- and otherwise with little: Redis may have lost its memory more than once.
local function learn(bucket, share, used, allowed, seen)
    bucket = bucket or { last = 0, gone = false }
    bucket.used, bucket.allowed, bucket.seen = used, allowed, seen
    rule(bucket, share)
    bucket.credit = math.min(bucket.capacity,
        bucket.credit or math.max(bucket.capacity - used, bucket.capacity / 10))
    return bucket
end

local function close(key, bucket, now)
    -- Removed first: a Redis whose memory is full refuses a script whose first
    -- write is one that may grow it, and reporting makes room.
    redis.call('HDEL', key, 'gone')
    redis.call('HSET', key, 'allowed', bucket.allowed, 'used', bucket.used, 'seen', bucket.seen,
        'credit', bucket.credit, 'at', now, 'last', bucket.last, 'gone', bucket.gone and 1 or 0)
end

