-- Adds an entry for a creation that already has a number.
--
-- KEYS: 1 the shard's waiting bytes, 2 its stream.
-- ARGV: the entry's fields and values, the payload last.

local bytes, mark = string.match(redis.call('GET', KEYS[1]) or '0', '^(%d+)(%+?)$')
local id = redis.call('XADD', KEYS[2], '*', unpack(ARGV))
redis.call('SET', KEYS[1], string.format('%.0f', (bytes or 0) + #ARGV[#ARGV]) .. (mark or ''))
return id
