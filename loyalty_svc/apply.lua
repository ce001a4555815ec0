#!lua flags=no-cluster
-- One message, all or nothing: every check comes before the first write.
-- KEYS: epoch, order, offsets, outbox, parked list, parked keys, actions, then one hash a customer
-- ARGV: epoch, place, offset, message id, version before, version after, status, detail, parked entry,
--       redriven entry, audit entry, count of outbox rows, their (topic, key, value, headers),
--       then a customer's (points, suspended, changes)
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'LOST' end
local place, offset, message = ARGV[2], tonumber(ARGV[3]), ARGV[4]
if place ~= '' then
  local reached = tonumber(redis.call('HGET', KEYS[3], place) or '0')
  if offset < reached then return 'SEEN' end
end
if message ~= '' and redis.call('HEXISTS', KEYS[2], 'm:' .. message) == 1 then
  if place ~= '' then redis.call('HSET', KEYS[3], place, offset + 1) end
  return 'SEEN'
end
local version = redis.call('HGET', KEYS[2], 'version') or '0'
if ARGV[5] ~= '' and version ~= ARGV[5] then return 'CONFLICT' end
local parked, redriven = ARGV[9], ARGV[10]
if parked == '' and place ~= '' and redis.call('EXISTS', KEYS[5]) == 1 then return 'CONFLICT' end
if redriven ~= '' and redis.call('LINDEX', KEYS[5], 0) ~= redriven then return 'CONFLICT' end

local at = 13
for _ = 1, tonumber(ARGV[12]) do
  redis.call('XADD', KEYS[4], '*', 't', ARGV[at], 'k', ARGV[at + 1], 'v', ARGV[at + 2], 'h', ARGV[at + 3])
  at = at + 4
end
if parked ~= '' then
  redis.call('RPUSH', KEYS[5], parked)
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[6], 'NX', now[1] * 1000000 + now[2], KEYS[5])
end
if redriven ~= '' then
  redis.call('RPUSH', KEYS[7], ARGV[11])
  redis.call('LPOP', KEYS[5])
  if redis.call('EXISTS', KEYS[5]) == 0 then redis.call('ZREM', KEYS[6], KEYS[5]) end
end
if message ~= '' then redis.call('HSET', KEYS[2], 'm:' .. message, '1') end
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[2], 'version', ARGV[6], 'status', ARGV[7], 'detail', ARGV[8])
end
for customer = 8, #KEYS do
  redis.call('HINCRBY', KEYS[customer], 'points', ARGV[at])
  if ARGV[at + 1] ~= '' then
    redis.call('HSET', KEYS[customer], 'suspended', ARGV[at + 1], 'changes', ARGV[at + 2])
  end
  at = at + 3
end
if place ~= '' then redis.call('HSET', KEYS[3], place, offset + 1) end
return 'DONE'
