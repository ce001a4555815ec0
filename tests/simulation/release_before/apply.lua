#!lua flags=no-cluster
-- One message, all or nothing: every check comes before the first write, as Redis takes nothing
-- back. Points are whole numbers that a double holds exactly (at most 2^53 - 1 either way).
-- KEYS: epoch, order, outbox, parked list, parked keys, actions, then one hash a customer
-- ARGV: epoch, message id, version before, version after, status, detail, parked entry,
--       redriven entry, audit entry, count of outbox rows, their (topic, key, value, headers),
--       then a customer's (points, suspended, changes)
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'LOST' end
local message = ARGV[2]
if message ~= '' and redis.call('HEXISTS', KEYS[2], 'm:' .. message) == 1 then return 'SEEN' end
local version = redis.call('HGET', KEYS[2], 'version') or '0'
if ARGV[3] ~= '' and version ~= ARGV[3] then return 'CONFLICT' end
local parked, redriven = ARGV[7], ARGV[8]
if parked == '' and message ~= '' and redis.call('EXISTS', KEYS[4]) == 1 then return 'CONFLICT' end
if redriven ~= '' and redis.call('LINDEX', KEYS[4], 0) ~= redriven then return 'CONFLICT' end

-- A call on a key of another type fails, so each key that is written is read first.
if parked ~= '' or redriven ~= '' then
  redis.call('LLEN', KEYS[4])
  redis.call('ZCARD', KEYS[5])
  redis.call('LLEN', KEYS[6])
end
local function exact(number) return number >= -9007199254740991 and number <= 9007199254740991 end
local function whole(text)
  local number = (text == '0' or string.find(text, '^%-?[1-9]%d*$')) and tonumber(text)
  return number and exact(number) and number or nil
end
local first = 11 + 4 * tonumber(ARGV[10])
for customer = 7, #KEYS do
  local held = redis.call('HGET', KEYS[customer], 'points') or '0'
  local step = ARGV[first + 3 * (customer - 7)]
  local before, by = whole(held), whole(step)
  if not before or not by or not exact(before + by) then
    return {err = 'REFUSED ' .. KEYS[customer] .. ' can not hold these points: ' .. held .. ' and ' .. step}
  end
end

local at = 11
for _ = 1, tonumber(ARGV[10]) do
  redis.call('XADD', KEYS[3], '*', 't', ARGV[at], 'k', ARGV[at + 1], 'v', ARGV[at + 2], 'h', ARGV[at + 3])
  at = at + 4
end
if parked ~= '' then
  redis.call('RPUSH', KEYS[4], parked)
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[5], 'NX', now[1] * 1000000 + now[2], KEYS[4])
end
if redriven ~= '' then
  redis.call('RPUSH', KEYS[6], ARGV[9])
  redis.call('LPOP', KEYS[4])
  if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('ZREM', KEYS[5], KEYS[4]) end
end
if message ~= '' then redis.call('HSET', KEYS[2], 'm:' .. message, '1') end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[2], 'version', ARGV[4], 'status', ARGV[5], 'detail', ARGV[6])
end
for customer = 7, #KEYS do
  redis.call('HINCRBY', KEYS[customer], 'points', ARGV[at])
  if ARGV[at + 1] ~= '' then
    redis.call('HSET', KEYS[customer], 'suspended', ARGV[at + 1], 'changes', ARGV[at + 2])
  end
  at = at + 3
end
return 'DONE'
