-- Points a pending creation to its dead letter, or ends that; runs even if memory is full, so that the
-- creations behind it go on.
--
-- KEYS: 1 what is pending in the sequence, 2 the dead letters.
-- ARGV: 1 the number, 2 the uid, 3 the letter, or nothing.

local _, _, _, uid = find(KEYS[1], ARGV[1])
if uid == ARGV[2] then
  if ARGV[3] == '' then
    redis.call('HDEL', KEYS[2], ARGV[2])
  else
    redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
  end
end
return false
