-- Installs an admitted epoch, where the server and its mark are what was sighted.
--
-- KEYS: 1 the shard's epoch, 2 what else is known of it.
-- ARGV: 1 the run of the server, 2 how much it copied from another in it, as `INFO` has it, 3 the mark
-- that was sighted, 4 the epoch, 5 how writes are synced, 6 of a cluster's node since when it has its place,
-- as `CLUSTER INFO` has it, or nothing.

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
  -- What a replica may have had of an earlier epoch does not matter in this one.
  redis.call('HDEL', KEYS[2], 'r')
end
if not string.find(info, 'connected_slaves:0\r', 1, true) then
  redis.call('HSET', KEYS[2], 'r', '1')
end
return 1
