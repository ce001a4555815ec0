#!lua flags=no-cluster
-- One message, all or nothing: every check comes before the first write.
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
