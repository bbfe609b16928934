-- Adds an entry that was numbered before.
--
-- KEYS: 1 the shard's state, 2 its stream.
-- ARGV: the entry's fields and values, the payload last.

local bytes = tonumber(redis.call('HGET', KEYS[1], 'b') or 0) or 0
local id = redis.call('XADD', KEYS[2], '*', unpack(ARGV))
redis.call('HSET', KEYS[1], 'b', string.format('%.0f', bytes + #ARGV[#ARGV]))
return id
