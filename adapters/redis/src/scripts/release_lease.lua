-- Gives up the lease on seeding a sequence, if it still is the caller's.
--
-- KEYS: 1 the sequence's lease.
-- ARGV: 1 the caller's lease.
-- Answers 1 where it was given up.

local call = redis.call
if call('GET', KEYS[1]) == ARGV[1] then
  return call('DEL', KEYS[1])
end
return 0
