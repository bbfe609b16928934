-- Forgets pending creations that are stored, and acknowledges their entries.
--
-- KEYS: 1 the shard's epoch, 2 its waiting bytes, 3 its stream, 4 the ids of entries that are kept
-- though acknowledged, 5 the dead letters, 6 the confirmed ids; then for each sequence what is pending
-- in it, its counter, and what is pending of the application's chats.
-- ARGV: 1 the consumer group, 2 the repository's epoch, 0 for none, 3 how long an idle counter lives, in
-- milliseconds, 4 how many sequences there are; then for each its chat's number, or nothing for an
-- application's chats, and how many settlements it has; then, sequence by sequence, each settlement's
-- number in rising order, its uid, and the entry's id or nothing.

local call, sub, format = redis.call, string.sub, string.format
local FIRST = 7

local own = tonumber(call('GET', KEYS[1]) or 0) or 0
if own < tonumber(ARGV[2]) then
  return format('%.0f', own)
end

local sequences = tonumber(ARGV[4])
local entries, uids, chats = {}, {}, {}
local freed, touched, seen = 0, {}, {}
local at = 5 + 2 * sequences
for sequence = 1, sequences do
  local pending = KEYS[FIRST + 3 * (sequence - 1)]
  local chat, count = ARGV[3 + 2 * sequence], tonumber(ARGV[4 + 2 * sequence])
  -- Settled creations are mostly the first of the list, without gaps, so these are read at once.
  local head, taken = call('LRANGE', pending, 0, count - 1), 0
  local apart = {}
  for _ = 1, count do
    local number, uid, entry = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    at = at + 3
    local found, id, size, of = head[taken + 1], nil, nil, nil
    if found and number_of(found) == tonumber(number) then
      id, size = string.match(found, '^%d+ (%S+) (%d+) ')
      of = sub(found, -16)
    else
      found, id, size, of = find(pending, number)
    end
    if of == uid and not seen[id] then
      if found == head[taken + 1] then
        taken = taken + 1
      else
        apart[#apart + 1] = found
      end
      entries[#entries + 1] = id
      seen[id] = true
      uids[#uids + 1] = uid
      freed = freed + tonumber(size)
      touched[sequence] = true
      if chat == '' then
        chats[#chats + 1] = sub(pending, 1, -2) .. ':' .. number
      end
    end
    if entry ~= '' and not seen[entry] then
      -- This is not the pending entry: the creation was published again, or is no longer pending.
      local stored = call('XRANGE', KEYS[3], entry, entry)[1]
      if stored then
        local fields = stored[2]
        for i = 1, #fields, 2 do
          if fields[i] == 'd' then
            freed = freed + #fields[i + 1]
          end
        end
      end
      entries[#entries + 1] = entry
      seen[entry] = true
    end
  end
  if taken > 0 then
    call('LPOP', pending, taken)
  end
  for _, found in ipairs(apart) do
    call('LREM', pending, 1, found)
  end
end

if entries[1] then
  call('XACK', KEYS[3], ARGV[1], unpack(entries))
  call('XDEL', KEYS[3], unpack(entries))
  call('SREM', KEYS[4], unpack(entries))
  call('SREM', KEYS[6], unpack(entries))
end
if uids[1] then
  call('HDEL', KEYS[5], unpack(uids))
end
if freed > 0 then
  local bytes, mark = string.match(call('GET', KEYS[2]) or '0', '^(%d+)(%+?)$')
  call('SET', KEYS[2], format('%.0f', math.max(0, (bytes or 0) - freed)) .. (mark or ''))
end

-- A counter may expire once nothing is pending that needs it.
for sequence in pairs(touched) do
  local pending = KEYS[FIRST + 3 * (sequence - 1)]
  local chat = ARGV[3 + 2 * sequence]
  if call('EXISTS', pending) == 0 then
    local owner = chat ~= '' and find(KEYS[FIRST + 3 * sequence - 1], chat)
    if not owner then
      call('PEXPIRE', KEYS[FIRST + 3 * sequence - 2], ARGV[3])
    end
  end
end
for _, chat in ipairs(chats) do
  if call('EXISTS', chat .. 'p') == 0 then
    call('PEXPIRE', chat .. 'c', ARGV[3])
  end
end
return false
