-- The oldest rows that may be published now; put behind a check of the epoch.
-- KEYS: epoch, relay, outbox, refused
-- ARGV: epoch, the caller's token, its lease in ms, how many rows, how many bytes, the topic of dead
--       letters, which have no order, then the topics that are shut
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'OTHER' end
redis.call('XLEN', KEYS[3])  -- of other types they fail here, before anything is written
local refused, held, shut = redis.call('HKEYS', KEYS[4]), {}, {}
-- not at each of fifty polls a second: every write is a write to disk
if redis.call('PTTL', KEYS[2]) < ARGV[3] / 2 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
for n = 1, #refused do refused[refused[n]] = true end
for n = 7, #ARGV do shut[ARGV[n]] = true end
local limit, bytes, letters = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local rows, start, page = {}, '-', nil
repeat
  page = redis.call('XRANGE', KEYS[3], start, '+', 'COUNT', 50)
  for _, row in ipairs(page) do
    local id, topic, key = row[1], row[2][2], row[2][4]
    if refused[id] then
      if topic ~= letters then held[key] = true end
    elseif not shut[topic] and (topic == letters or not held[key]) then
      bytes = bytes - #row[2][6] - #row[2][8]
      if #rows == limit or (#rows > 0 and bytes < 0) then return rows end
      rows[#rows + 1] = row
    end
    start = '(' .. id
  end
until #page < 50
return rows
