-- One visit to what all bots of one API key share. Every time is in microseconds of the store's own clock.
--
-- units: request -> when its place in the window is free again. A request is admitted only while fewer
--        units than the limit are taken, so no instant is ever promised ahead.
-- state: epoch (when this state began), visits, paused and quiet (until when nobody sends), trial (1 after a
--        pause until a request is answered) and next_trial.
-- reads, exits: process -> when it comes back, so that each one comes for a unit of its own.
local units, state, reads, exits = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local me = ARGV[1]
local seen_epoch, seen_visits = tonumber(ARGV[2]), tonumber(ARGV[3])
local limit, reserve = tonumber(ARGV[4]), tonumber(ARGV[5])
local period, margin = tonumber(ARGV[6]), tonumber(ARGV[7])
local first, want_exits, want_reads = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local pause, silence, proven = tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13] == '1'
local keep = ARGV[14]

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local known = redis.call('HMGET', state, 'epoch', 'visits', 'paused', 'quiet', 'trial', 'next_trial')
local epoch, visits = tonumber(known[1] or now), tonumber(known[2] or 0)
local paused, quiet = tonumber(known[3] or 0), tonumber(known[4] or 0)
local trial, next_trial = known[5] == '1', tonumber(known[6] or 0)

local function instant(value)
  return string.format('%.0f', value)  -- tostring() would round to 14 digits
end

-- What was admitted before the state was lost is not known any more: it has left the window one period later.
if seen_epoch ~= 0 and (seen_epoch ~= epoch or seen_visits > visits) then
  if seen_epoch == epoch then
    epoch = now  -- an old copy came back
  end
  quiet = math.max(quiet, epoch + margin + period)
end
if silence > 0 then
  quiet = math.max(quiet, now + silence)
end
if proven and now >= paused then
  trial = false
end
if pause > 0 then
  paused, trial = math.max(paused, now + pause), true
end

for mark = 15, #ARGV, 2 do
  redis.call('ZADD', units, ARGV[mark + 1], ARGV[mark])
end
redis.call('ZREMRANGEBYSCORE', units, '-inf', instant(now))

local admitted = 0

local function admit(queue, want, size)
  redis.call('ZREMRANGEBYSCORE', queue, '-inf', instant(now - margin / 5))
  local place = redis.call('ZSCORE', queue, me)
  redis.call('ZREM', queue, me)
  local taken = redis.call('ZCARD', units)
  local due = redis.call('ZCOUNT', queue, '-inf', instant(math.min(now, tonumber(place or now))))
  local open = math.max(paused, quiet, trial and next_trial or 0)
  local most = trial and 1 or math.ceil(size / 5)
  local count = 0
  if now >= open then
    count = math.max(0, math.min(want, most, size - taken - due))
  end
  for _ = 1, count do
    redis.call('ZADD', units, instant(now + margin + period), me .. ':' .. instant(first + admitted))
    admitted = admitted + 1
  end
  if trial and count > 0 then
    next_trial = now + period / 12
    open = next_trial
  end
  local back = math.max(now, open)
  -- Whoever was served stands behind the others.
  local ahead = redis.call('ZCOUNT', queue, '-inf', count == 0 and place or '+inf')
  local last = taken + count - 1
  local rank = math.min(last + 1 + ahead - size, last)
  if rank >= 0 then
    back = math.max(back, tonumber(redis.call('ZRANGE', units, rank, rank, 'WITHSCORES')[2]))
  end
  if count < want then
    redis.call('ZADD', queue, instant(back), me)
  end
  return count, back - now
end

local admitted_exits, exits_in = admit(exits, want_exits, limit)
local admitted_reads, reads_in = admit(reads, want_reads, limit - reserve)

redis.call('HSET', state, 'epoch', instant(epoch), 'visits', instant(visits + 1), 'paused', instant(paused),
  'quiet', instant(quiet), 'trial', trial and '1' or '0', 'next_trial', instant(next_trial))
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, keep)
end
return {
  now, epoch, visits + 1, admitted_exits, exits_in, admitted_reads, reads_in,
  math.max(0, paused - now), trial and 1 or 0, redis.call('ZCARD', units),
}
