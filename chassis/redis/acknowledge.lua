-- Rows leave the outbox for what is kept of it; put behind a check of the epoch.
-- KEYS: epoch, outbox, published
-- ARGV: epoch, days to keep, the lowest id, the highest, then each
local wanted, rows = {}, {}
for n = 5, #ARGV do wanted[ARGV[n]] = true end
redis.call('XLEN', KEYS[3])  -- of another type it fails here, before anything is written
if not redis.acl_check_cmd('XADD', KEYS[3], '*', 'f', 'v') then
  return {err = 'NOPERM this user has no permissions to run XADD on ' .. KEYS[3]}
end
for _, row in ipairs(redis.call('XRANGE', KEYS[2], ARGV[3], ARGV[4])) do
  if wanted[row[1]] then rows[#rows + 1] = row end
end
for n = 5, #ARGV, 1000 do
  redis.call('XDEL', KEYS[2], unpack(ARGV, n, n + 999 < #ARGV and n + 999 or #ARGV))
end
if ARGV[2] == '0' then return end
for _, row in ipairs(rows) do redis.call('XADD', KEYS[3], '*', unpack(row[2])) end
