#!lua flags=no-cluster
-- One message, all or nothing: every check comes before the first write.
-- KEYS: order, offsets, outbox, parked list, parked keys, actions, then one hash a customer
-- ARGV: place, offset, message id, version before, version after, status, detail, parked entry,
--       redriven entry, audit entry, count of outbox rows, their (topic, key, value, headers),
--       then a customer's (points, suspended, changes)
local place, offset, message = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if place ~= '' then
  local reached = tonumber(redis.call('HGET', KEYS[2], place) or '0')
  if offset < reached then return 'SEEN' end
end
if message ~= '' and redis.call('HEXISTS', KEYS[1], 'm:' .. message) == 1 then
  if place ~= '' then redis.call('HSET', KEYS[2], place, offset + 1) end
  return 'SEEN'
end
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[4] ~= '' and version ~= ARGV[4] then return 'CONFLICT' end
local parked, redriven = ARGV[8], ARGV[9]
if parked == '' and place ~= '' and redis.call('EXISTS', KEYS[4]) == 1 then return 'CONFLICT' end
if redriven ~= '' and redis.call('LINDEX', KEYS[4], 0) ~= redriven then return 'CONFLICT' end

local at = 12
for _ = 1, tonumber(ARGV[11]) do
  redis.call('XADD', KEYS[3], '*', 't', ARGV[at], 'k', ARGV[at + 1], 'v', ARGV[at + 2], 'h', ARGV[at + 3])
  at = at + 4
end
if parked ~= '' then
  redis.call('RPUSH', KEYS[4], parked)
  redis.call('ZADD', KEYS[5], 'NX', redis.call('TIME')[1], KEYS[4])
end
if redriven ~= '' then
  redis.call('RPUSH', KEYS[6], ARGV[10])
  redis.call('LPOP', KEYS[4])
  if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('ZREM', KEYS[5], KEYS[4]) end
end
if message ~= '' then redis.call('HSET', KEYS[1], 'm:' .. message, '1') end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'version', ARGV[5], 'status', ARGV[6], 'detail', ARGV[7])
end
for customer = 7, #KEYS do
  redis.call('HINCRBY', KEYS[customer], 'points', ARGV[at])
  if ARGV[at + 1] ~= '' then
    redis.call('HSET', KEYS[customer], 'suspended', ARGV[at + 1], 'changes', ARGV[at + 2])
  end
  at = at + 3
end
if place ~= '' then redis.call('HSET', KEYS[2], place, offset + 1) end
return 'DONE'
