-- Forgets pending creations that are stored, and acknowledges their entries.
--
-- KEYS: 1 the shard's epoch, 2 its waiting bytes, 3 its stream, 4 the ids of entries that are kept
-- though acknowledged, 5 the dead letters, 6 the confirmed ids; then for each sequence what is pending
-- in it, its counter, and what is pending of the application's chats.
-- ARGV: 1 the consumer group, 2 the repository's epoch, 0 for none, 3 how long an idle counter lives, in
-- milliseconds, 4 how many sequences there are; then for each its chat's number, or nothing for an
-- application's chats; then for each settlement its sequence's place, number, uid, and the entry's id or
-- nothing.

local call, sub, format = redis.call, string.sub, string.format
local FIRST = 7

local own = tonumber(call('GET', KEYS[1]) or 0) or 0
if own < tonumber(ARGV[2]) then
  return format('%.0f', own)
end

local sequences = tonumber(ARGV[4])
local entries, uids, chats = {}, {}, {}
local freed, touched, seen = 0, {}, {}
for i = 5 + sequences, #ARGV, 4 do
  local place, number, uid, entry = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local pending = KEYS[FIRST + 3 * (place - 1)]
  local member = call('ZRANGEBYSCORE', pending, number, number)[1]
  if member and sub(member, -16) == uid then
    local id, size = string.match(sub(member, 1, -18), '^(%S+) (%d+)$')
    call('ZREM', pending, member)
    entries[#entries + 1] = id
    seen[id] = true
    uids[#uids + 1] = uid
    freed = freed + tonumber(size)
    touched[place] = true
    if ARGV[4 + place] == '' then
      chats[#chats + 1] = sub(pending, 1, -2) .. ':' .. number
    end
  end
  if entry ~= '' and not seen[entry] then
    -- Another entry of the same creation: it was published once more, or nothing of it was pending.
    local found = call('XRANGE', KEYS[3], entry, entry)[1]
    if found then
      local fields = found[2]
      for at = 1, #fields, 2 do
        if fields[at] == 'd' then
          freed = freed + #fields[at + 1]
        end
      end
    end
    entries[#entries + 1] = entry
    seen[entry] = true
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
for place in pairs(touched) do
  local pending = KEYS[FIRST + 3 * (place - 1)]
  local chat = ARGV[4 + place]
  if call('EXISTS', pending) == 0 then
    local owner = chat ~= '' and call('ZRANGEBYSCORE', KEYS[FIRST + 3 * place - 1], chat, chat)[1]
    if not owner then
      call('PEXPIRE', KEYS[FIRST + 3 * place - 2], ARGV[3])
    end
  end
end
for _, chat in ipairs(chats) do
  if call('EXISTS', chat .. 'p') == 0 then
    call('PEXPIRE', chat .. 'c', ARGV[3])
  end
end
return false
