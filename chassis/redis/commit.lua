-- Compare and write, all or nothing: Redis takes nothing back, so every check comes before the first write.
-- Without flags in a first line, Redis asks for memory at the first write only: so what frees memory runs always.
-- KEYS: the epoch's, then those that checks and writes name by their numbers
-- ARGV: epoch, how many checks, how many writes; then of each check: command, key, argument, what it has to
--       answer (0 where there is nothing); then of each write: command, key, how many arguments, the arguments
-- Answers DONE and the ids that XADD has given, or CONFLICT, or LOST.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'LOST'} end
local at = 4
for _ = 1, tonumber(ARGV[2]) do
  local key, argument = KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]
  local found
  if argument == '' then found = redis.call(ARGV[at], key) else found = redis.call(ARGV[at], key, argument) end
  if tostring(found or 0) ~= ARGV[at + 3] then return {'CONFLICT'} end
  at = at + 4
end

-- A call on a key of another type fails, so each key that is written is read first.
local size = {
  HSET = 'HLEN', HINCRBY = 'HLEN', RPUSH = 'LLEN', LPOP = 'LLEN', LSET = 'LLEN', LREM = 'LLEN',
  ZADD = 'ZCARD', ZREM = 'ZCARD', XADD = 'XLEN', XDEL = 'XLEN', HDEL = 'HLEN',
}
-- Sums are whole numbers that a double holds exactly (at most 2^53 - 1 either way).
local function exact(number) return number >= -9007199254740991 and number <= 9007199254740991 end
local function integer(text)
  local number = (text == '0' or string.find(text, '^%-?[1-9]%d*$')) and tonumber(text)
  return number and exact(number) and number or nil
end
local first, sums, allowed = at, {}, {}
for _ = 1, tonumber(ARGV[3]) do
  local command, key, count = ARGV[at], KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
  redis.call(size[command], key)
  -- A right that is missing would be met at its own call, behind the writes before it.
  if not allowed[command] and not redis.acl_check_cmd(command, key, unpack(ARGV, at + 3, at + 2 + count)) then
    return {err = 'NOPERM this user has no permissions to run ' .. command .. ' on ' .. key}
  end
  allowed[command] = true
  if command == 'HINCRBY' then
    local name = key .. ' ' .. ARGV[at + 3]
    local before = sums[name] or redis.call('HGET', key, ARGV[at + 3]) or '0'
    local held, by = integer(tostring(before)), integer(ARGV[at + 4])
    if not held or not by or not exact(held + by) then
      return {err = 'REFUSED ' .. name .. ' can not hold ' .. before .. ' and ' .. ARGV[at + 4]}
    end
    sums[name] = string.format('%.0f', held + by)
  end
  at = at + 3 + count
end

local reply = {'DONE'}
at = first
for _ = 1, tonumber(ARGV[3]) do
  local command, count = ARGV[at], tonumber(ARGV[at + 2])
  local given = redis.call(command, KEYS[tonumber(ARGV[at + 1])], unpack(ARGV, at + 3, at + 2 + count))
  if command == 'XADD' then reply[#reply + 1] = given end
  at = at + 3 + count
end
return reply
