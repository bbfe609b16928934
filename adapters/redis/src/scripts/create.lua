-- Numbers one creation, remembers it as pending and puts it into the shard's stream.
--
-- The program puts EPOCH, KNOWN, PENDING, HIGH, LOW, KEYS_MOST and the server's run id in front of this
-- text. It is only called by its hash, so that another run of the server does not know it.
--
-- KEYS: 1 the shard's epoch, 2 its waiting bytes, 3 its stream, 4 the counter of the application's
-- chats, 5 the counter of the sequence (the same for a chat), 6 what is pending in it; with an
-- idempotency key also 7 that key, 8 the counts of such keys.
-- ARGV: 1 the payload, 2 the sequence, 3 the uid; with an idempotency key also 4 the request's digest,
-- 5 the time of creation; last, if all shards together exceed a limit, the letter of that limit.
--
-- Everything is read before the first write. The server may refuse that write, if it lacks memory or disk
-- or is a replica. None after it can fail, except for the stream's if that key is no stream: all others were
-- found to have the right type, or are replaced. The counter is written first: wherever and however the
-- script is cut short, it leaves no entry whose number is given again.

local call, sub, format = redis.call, string.sub, string.format

local read = call('MGET', KEYS[1], KEYS[2], KEYS[4], KEYS[5])
if read[1] ~= EPOCH then
  return 'E'
end

-- Returns the last number that a counter gave, or nil and a reason to refuse. `at` is the place of its
-- value in `read`, and `named` that of its key in KEYS.
local function last_of(at, named)
  local value = read[at]
  if value == '-' then
    return nil, 'G'
  end
  local last = value and sub(value, 1, #KNOWN) == KNOWN and tonumber(sub(value, #KNOWN + 1))
  if last then
    return last
  end
  -- The sequence is unknown: hand out a lease on seeding it, with the highest number that is pending in it.
  -- After one second the next caller gets a new lease; if nobody asks, this one lasts for ten.
  local lease_key = sub(KEYS[named], 1, -2) .. 'l'
  if call('PTTL', lease_key) > 9000 then
    return nil, 'U' .. named
  end
  local highest = call('LINDEX', sub(KEYS[named], 1, -2) .. 'p', -1)
  local now = call('TIME')
  local lease = now[1] .. format('%06d', now[2])
  call('SET', lease_key, lease, 'PX', 10000)
  return nil, 'U' .. named .. lease .. ' ' .. (highest and string.match(highest, '^%d+') or '0')
end

local last, refusal = last_of(3, 4)
if not last then
  return refusal
end

if KEYS[7] then
  local used = call('GET', KEYS[7])
  if used then
    if sub(used, 1, 32) == ARGV[4] then
      return 'R' .. sub(used, 33)
    end
    return 'K'
  end
end

local of_chat = KEYS[5] ~= KEYS[4]
if of_chat then
  last, refusal = last_of(4, 5)
  if not last then
    return refusal
  end
end

local over = ARGV[KEYS[7] and 6 or 4]
if over then
  return 'O' .. over
end

-- A `+` after the bytes says that there were too many: they must fall to the low limit first.
local size, bytes, full = #ARGV[1], tonumber(read[2] or 0), false
if not bytes then
  bytes, full = tonumber(sub(read[2], 1, -2)) or 0, true
end
if full and bytes > LOW then
  return 'Ob'
end
if bytes + size > HIGH then
  call('SET', KEYS[2], format('%.0f+', bytes))
  return 'Ob'
end
if call('LLEN', KEYS[6]) >= PENDING or last >= 9007199254740991 then
  return 'Os'
end

-- Idempotency keys live for a day and are counted by the hour they were made in, so 25 hours are enough.
local hour, of_hour, keys, gone
if KEYS[7] then
  hour = math.floor(call('TIME')[1] / 3600)
  local count = call('HMGET', KEYS[8], 'total', 'hour', hour)
  keys, of_hour, gone = tonumber(count[1] or 0) or 0, tonumber(count[3] or 0) or 0, {}
  if tonumber(count[2] or 0) ~= hour then
    keys = 0
    local all = call('HGETALL', KEYS[8])
    for i = 1, #all, 2 do
      local made = tonumber(all[i])
      if made and made + 25 > hour then
        keys = keys + (tonumber(all[i + 1]) or 0)
      elseif made then
        gone[#gone + 1] = all[i]
      end
    end
  end
  if keys >= KEYS_MOST then
    return 'Ok'
  end
end

local number = format('%.0f', last + 1)
call('MSET', KEYS[5], KNOWN .. number, KEYS[2], format('%.0f', bytes + size))
local id = call('XADD', KEYS[3], '*', 'n', number, 'e', EPOCH, 's', ARGV[2], 'd', ARGV[1])
call('RPUSH', KEYS[6], number .. ' ' .. id .. ' ' .. size .. ' ' .. ARGV[3])
if not of_chat then
  -- The new chat's own sequence is known from now on. Its key contains the number, so it is not among KEYS;
  -- if the slot is migrating, this may fail, and the chat is seeded later like any unknown sequence.
  local own = sub(KEYS[5], 1, -2) .. ':' .. number
  redis.pcall('SET', own .. 'c', KNOWN .. '0', 'NX')
  -- A lease from before the chat existed must not be good for seeding it if its counter gets lost later.
  redis.pcall('DEL', own .. 'l')
end
if KEYS[7] then
  call('SET', KEYS[7], ARGV[4] .. number .. ' ' .. ARGV[5], 'PX', 86400000)
  call('HSET', KEYS[8], 'total', keys + 1, 'hour', hour, hour, of_hour + 1)
  if gone[1] then
    call('HDEL', KEYS[8], unpack(gone))
  end
end
return number .. ' ' .. id
