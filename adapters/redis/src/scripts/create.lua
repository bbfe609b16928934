-- Numbers one creation, remembers it as pending and puts it into the shard's stream.
--
-- The program writes EPOCH, KNOWN, PENDING, HIGH, LOW and KEYS_MOST above this text, and the server's
-- run with them, so that no other run of the server knows this script.
--
-- KEYS: 1 the shard's state, 2 its stream, 3 the counter of the application's chats, 4 the counter of
-- the sequence (the same for a chat), 5 what is pending in it; with an idempotency key also 6 that
-- key, 7 how many keys there are.
-- ARGV: 1 the payload, 2 the sequence, 3 the uid; with an idempotency key also 4 the request's digest,
-- 5 the time of creation.
--
-- Every key is read, and found to be of its type, before the first write. The server may still refuse
-- that first write, for want of memory, disk or its role; once it is done, none after it can fail.

local call, sub, format = redis.call, string.sub, string.format

-- The last number that a counter gave, where it was seeded in this epoch.
local function last_number(value)
  if value and sub(value, 1, #KNOWN) == KNOWN then
    return tonumber(sub(value, #KNOWN + 1))
  end
end

-- Answers that a sequence is unknown, with the leave to seed it. It is handed on after a second, and
-- good for nine more where nobody else asked.
local function unknown(at)
  local lease_key = sub(KEYS[at], 1, -2) .. 'l'
  if call('PTTL', lease_key) > 9000 then
    return 'U' .. at
  end
  local now = call('TIME')
  local lease = now[1] .. format('%06d', now[2])
  call('SET', lease_key, lease, 'PX', 10000)
  return 'U' .. at .. lease
end

local state = call('HMGET', KEYS[1], 'e', 'b', 'o')
if state[1] ~= EPOCH then
  return 'E'
end

local value = call('GET', KEYS[3])
if value == '-' then
  return 'G'
end
local last = last_number(value)
if not last then
  return unknown(3)
end

if KEYS[6] then
  local used = call('GET', KEYS[6])
  if used then
    if sub(used, 1, 32) == ARGV[4] then
      return 'R' .. sub(used, 33)
    end
    return 'K'
  end
end

local of_chat = KEYS[4] ~= KEYS[3]
if of_chat then
  value = call('GET', KEYS[4])
  if value == '-' then
    return 'G'
  end
  last = last_number(value)
  if not last then
    return unknown(4)
  end
end

local bytes, size = tonumber(state[2] or 0) or 0, #ARGV[1]
if state[3] and bytes > LOW then
  return 'O'
end
if bytes + size > HIGH then
  call('HSET', KEYS[1], 'o', '1')
  return 'O'
end
if call('ZCARD', KEYS[5]) >= PENDING or last >= 9007199254740991 then
  return 'O'
end

-- Keys are counted by the hour that they were made in: after 25 hours none of an hour is left.
local hour, of_hour, keys, over
if KEYS[6] then
  hour = math.floor(call('TIME')[1] / 3600)
  local count = call('HMGET', KEYS[7], 'total', 'hour', hour)
  keys, of_hour, over = tonumber(count[1] or 0) or 0, tonumber(count[3] or 0) or 0, {}
  if tonumber(count[2] or 0) ~= hour then
    keys = 0
    local all = call('HGETALL', KEYS[7])
    for i = 1, #all, 2 do
      local made = tonumber(all[i])
      if made and made + 25 > hour then
        keys = keys + (tonumber(all[i + 1]) or 0)
      elseif made then
        over[#over + 1] = all[i]
      end
    end
  end
  if keys >= KEYS_MOST then
    return 'O'
  end
end

local number = format('%.0f', last + 1)
local id = call('XADD', KEYS[2], '*', 'n', number, 'e', EPOCH, 's', ARGV[2], 'd', ARGV[1])
call('SET', KEYS[4], KNOWN .. number)
call('ZADD', KEYS[5], number, id .. ' ' .. size .. ' ' .. ARGV[3])
call('HSET', KEYS[1], 'b', format('%.0f', bytes + size))
if state[3] then
  call('HDEL', KEYS[1], 'o')
end
if not of_chat then
  -- The new chat's own sequence is known from now on. Its key cannot be named before its number is.
  call('SET', sub(KEYS[4], 1, -2) .. ':' .. number .. 'c', KNOWN .. '0', 'NX')
end
if KEYS[6] then
  call('SET', KEYS[6], ARGV[4] .. number .. ' ' .. ARGV[5], 'PX', 86400000)
  call('HSET', KEYS[7], 'total', keys + 1, 'hour', hour, hour, of_hour + 1)
  if over[1] then
    call('HDEL', KEYS[7], unpack(over))
  end
end
return number .. ' ' .. id
