-- Installs an admitted epoch, if the server and its mark are still as sighted.
--
-- KEYS: 1 the shard's epoch, 2 how its writes are synced and whether a replica was seen.
-- ARGV: 1 the server's run id, 2 the line of `INFO` with the bytes that it copied from another server,
-- 3 the mark that was sighted, 4 the epoch, 5 how writes are synced, 6 in a cluster the line of
-- `CLUSTER INFO` with the node's configuration epoch, else nothing.

local info = ''
for _, section in ipairs({ 'server', 'replication', 'stats' }) do
  info = info .. redis.call('INFO', section)
end
if not string.find(info, 'run_id:' .. ARGV[1] .. '\r', 1, true) then
  return 0
end
if not string.find(info, ARGV[2] .. '\r', 1, true) then
  return 0
end
if not string.find(info, 'role:master', 1, true) then
  return 0
end
if ARGV[6] ~= '' and not string.find(redis.call('CLUSTER', 'INFO'), ARGV[6] .. '\r', 1, true) then
  return 0
end
if redis.call('GET', KEYS[1]) ~= ARGV[3] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[4])
redis.call('HSET', KEYS[2], 'f', ARGV[5])
if ARGV[3] ~= ARGV[4] then
  -- The replicas of an earlier epoch do not matter in a new one.
  redis.call('HDEL', KEYS[2], 'r')
end
if not string.find(info, 'connected_slaves:0\r', 1, true) then
  redis.call('HSET', KEYS[2], 'r', '1')
end
return 1
