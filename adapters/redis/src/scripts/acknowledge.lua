-- Acknowledges deliveries and deletes their entries, except for those of creations that are still
-- pending: these stay in the stream, where the creations are read.
--
-- KEYS: 1 the shard's waiting bytes, 2 its stream, 3 the ids of entries that are kept though acknowledged.
-- ARGV: 1 the consumer group, 2 the prefix of the shard's keys; then the entries' ids.

local call = redis.call

-- Everything is read before the first write: in a cluster a key may be migrating, and reading it fails.
local acknowledged, kept, done, freed = {}, {}, {}, 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local entry = call('XRANGE', KEYS[2], id, id)[1]
  local field, pending = {}, false
  if entry then
    for at = 1, #entry[2], 2 do
      field[entry[2][at]] = entry[2][at + 1]
    end
  end
  if field.s and tonumber(field.n) then
    -- This key cannot be among KEYS, since only the entry names its sequence.
    local _, at = find(ARGV[2] .. field.s .. 'p', field.n)
    pending = at == id
  end
  acknowledged[#acknowledged + 1] = id
  if pending then
    kept[#kept + 1] = id
  elseif entry then
    done[#done + 1] = id
    freed = freed + #(field.d or '')
  end
end
if acknowledged[1] then
  call('XACK', KEYS[2], ARGV[1], unpack(acknowledged))
end
if kept[1] then
  call('SADD', KEYS[3], unpack(kept))
end
if done[1] then
  call('XDEL', KEYS[2], unpack(done))
  local bytes, mark = string.match(call('GET', KEYS[1]) or '0', '^(%d+)(%+?)$')
  call('SET', KEYS[1], string.format('%.0f', math.max(0, (bytes or 0) - freed)) .. (mark or ''))
end
return #done
