-- Removes consumers that have not asked for long and hold nothing.
--
-- KEYS: 1 the shard's stream.
-- ARGV: 1 the consumer group, 2 for how long, in milliseconds.

local removed = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for at = 1, #consumer, 2 do
    of[consumer[at]] = consumer[at + 1]
  end
  if of.pending == 0 and of.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
    removed = removed + 1
  end
end
return removed
