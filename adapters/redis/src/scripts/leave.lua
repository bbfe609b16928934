-- Removes a consumer, after handing all it holds to the one that stands for nobody, where others find it.
--
-- KEYS: 1 the shard's stream.
-- ARGV: 1 the consumer group, 2 the consumer, 3 the name that stands for nobody, 4 an idle time longer
-- than any takeover time, in milliseconds.

local call = redis.call
while true do
  local held = call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000, ARGV[2])
  if not held[1] then
    break
  end
  local ids = {}
  for at, entry in ipairs(held) do
    ids[at] = entry[1]
  end
  local claim = { 'XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0 }
  for _, id in ipairs(ids) do
    claim[#claim + 1] = id
  end
  for _, word in ipairs({ 'IDLE', ARGV[4], 'JUSTID' }) do
    claim[#claim + 1] = word
  end
  call(unpack(claim))
end
-- This drops whatever the consumer holds, which is nothing by now.
call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return false
