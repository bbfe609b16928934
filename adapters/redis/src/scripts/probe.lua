-- Tries the commands of the other scripts on keys of its own, to find missing permissions, and cleans up.
--
-- KEYS: 1 a stream, 2 a hash, 3 a set, 4 a list, 5 a string.

local call = redis.call
for _, key in ipairs(KEYS) do
  call('DEL', key)
end
local id = call('XADD', KEYS[1], '*', 'n', '1')
call('XGROUP', 'CREATE', KEYS[1], 'probe', '0', 'MKSTREAM')
call('XRANGE', KEYS[1], id, id)
call('XLEN', KEYS[1])
call('XPENDING', KEYS[1], 'probe')
call('XCLAIM', KEYS[1], 'probe', 'nobody', 0, id, 'JUSTID')
call('XINFO', 'GROUPS', KEYS[1])
call('XINFO', 'CONSUMERS', KEYS[1], 'probe')
call('XACK', KEYS[1], 'probe', id)
call('XGROUP', 'DELCONSUMER', KEYS[1], 'probe', 'nobody')
call('XDEL', KEYS[1], id)
call('HSET', KEYS[2], 'a', '1')
call('HGET', KEYS[2], 'a')
call('HMGET', KEYS[2], 'a', 'b')
call('HGETALL', KEYS[2])
call('HDEL', KEYS[2], 'a')
call('SADD', KEYS[3], 'a')
call('SISMEMBER', KEYS[3], 'a')
call('SCARD', KEYS[3])
call('SREM', KEYS[3], 'a')
call('RPUSH', KEYS[4], 'a', 'b', 'c')
call('LLEN', KEYS[4])
call('LINDEX', KEYS[4], 0)
call('LRANGE', KEYS[4], 0, 1)
call('LREM', KEYS[4], 1, 'b')
call('LPOP', KEYS[4], 1)
call('SET', KEYS[5], 'a')
call('MSET', KEYS[5], 'a')
call('GET', KEYS[5])
call('MGET', KEYS[5])
call('EXISTS', KEYS[5])
call('PEXPIRE', KEYS[5], 1000)
call('PTTL', KEYS[5])
call('TIME')
call('INFO', 'server')
for _, key in ipairs(KEYS) do
  call('DEL', key)
end
return 1
