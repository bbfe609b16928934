-- Ends deliveries. The entry of a creation that is pending still stays in the stream, where it is read.
--
-- KEYS: 1 the shard's waiting bytes, 2 its stream, 3 the ids of entries that are kept though acknowledged.
-- ARGV: 1 the consumer group, 2 what the names of the shard's keys begin with; then the entries' ids.

local call = redis.call

-- Nothing is written before all was read: on a cluster's node a key may be on its way to another one.
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
    -- The sequence's name is only known from the entry.
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
