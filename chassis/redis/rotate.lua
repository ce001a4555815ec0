-- What was published long enough ago goes, by Redis's own clock and unless that is in doubt;
-- put behind a check of the epoch.
-- KEYS: epoch, published, clock
-- ARGV: epoch, then in milliseconds: how long to keep, the caller's time, how far apart two clocks
--       may be, how far apart two looks may be, how long nothing goes after a jump
local keep, here, skew = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local gap, hold = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000
redis.call('XLEN', KEYS[2])  -- of another type it fails here, before anything is written
local seen = tonumber(redis.call('HGET', KEYS[3], 'seen') or now)
local jumped = tonumber(redis.call('HGET', KEYS[3], 'jumped') or -hold)
if now < seen - skew or now > seen + gap then jumped = now end
redis.call('HSET', KEYS[3], 'seen', now, 'jumped', jumped)
if now - here > skew or here - now > skew or now < jumped + hold then return {now, jumped} end
redis.call('XTRIM', KEYS[2], 'MINID', now - keep)
return {now, -1}
