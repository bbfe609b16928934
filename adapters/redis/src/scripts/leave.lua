-- Gives everything that a consumer holds to nobody, where whoever asks next finds it, and removes it.
--
-- KEYS: 1 the shard's stream.
-- ARGV: 1 the consumer group, 2 the consumer, 3 nobody's name, 4 an idle time that is long enough.

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
-- A consumer that holds nothing loses nothing.
call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return false
