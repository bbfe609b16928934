-- Notes that a pending creation reached the queue.
--
-- KEYS: 1 what is pending in the sequence, 2 the confirmed ids.
-- ARGV: 1 the number, 2 the uid.

local _, id, _, uid = find(KEYS[1], ARGV[1])
if uid == ARGV[2] then
  redis.call('SADD', KEYS[2], id)
end
return false
