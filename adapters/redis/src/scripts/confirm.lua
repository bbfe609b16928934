-- Notes that a pending creation reached the queue.
--
-- KEYS: 1 what is pending in the sequence, 2 the confirmed ids.
-- ARGV: 1 the number, 2 the uid.

local member = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])[1]
if member and string.sub(member, -16) == ARGV[2] then
  redis.call('SADD', KEYS[2], string.match(member, '^(%S+) '))
end
return false
