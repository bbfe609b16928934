-- Measures a shard's backlog: entries, bytes, and the oldest unacknowledged entry's id and payload.
--
-- KEYS: 1 the shard's waiting bytes, 2 its stream, 3 the ids of entries that are kept though acknowledged.
-- ARGV: 1 the consumer group.

local call = redis.call
local first
local held = redis.pcall('XPENDING', KEYS[2], ARGV[1])
if held.err then
  -- There is no group, so nothing has been delivered yet.
  first = call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
elseif held[1] > 0 then
  first = call('XRANGE', KEYS[2], held[2], '+', 'COUNT', 1)[1]
else
  for _, group in ipairs(call('XINFO', 'GROUPS', KEYS[2])) do
    local of = {}
    for at = 1, #group, 2 do
      of[group[at]] = group[at + 1]
    end
    if of.name == ARGV[1] then
      first = call('XRANGE', KEYS[2], '(' .. of['last-delivered-id'], '+', 'COUNT', 1)[1]
    end
  end
end
local payload = ''
if first then
  for at = 1, #first[2], 2 do
    if first[2][at] == 'd' then
      payload = first[2][at + 1]
    end
  end
end
return {
  call('XLEN', KEYS[2]) - call('SCARD', KEYS[3]),
  tonumber(string.match(call('GET', KEYS[1]) or '0', '^%d+') or 0),
  first and first[1] or '',
  payload,
}
