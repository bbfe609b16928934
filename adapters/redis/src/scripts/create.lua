-- Numbers creations, one after the other, remembers each as pending and puts it into the shard's stream.
--
-- The program puts EPOCH, KNOWN, PENDING, HIGH, LOW, KEYS_MOST and the server's run id in front of this
-- text. It is only called by its hash, so that another run of the server does not know it.
--
-- KEYS: 1 the shard's epoch, 2 its waiting bytes, 3 its stream; then for each creation the counter of the
-- application's chats, the counter of the sequence (the same for a chat), what is pending in it; with an
-- idempotency key also that key, and the counts of such keys.
-- ARGV: for each creation the payload, the sequence, the uid, the request's digest and the time of creation,
-- and the letter of a limit that all shards together exceed; what does not apply is empty, such as the
-- digest without an idempotency key.
-- Returns for each creation its number and the entry's id, or a letter for what happened instead and what
-- belongs to it: `E` another epoch, `G` deleted, `U` an unknown sequence and a lease, `R` the same request,
-- `K` another request with this key, `O` a limit, `X` an error of the server.
--
-- The answers and what is written are those of as many runs with one creation each, but that a message to a
-- chat that is numbered in the same run counts as having come before it. What is needed only with an
-- idempotency key is among the KEYS only then: in a slot that is migrating a missing key stops the run.
--
-- All creations are decided before the first is written; only leases are written meanwhile. The server may
-- refuse the first write, if it lacks memory or disk or is a replica. None after it can fail: the types of
-- all keys are known by then, or they are replaced. The counters are written first: wherever and however the
-- script is cut short, it leaves no entry whose number is given again.

local call, sub, format = redis.call, string.sub, string.format

-- What each key holds, `false` for nothing and for what is no string: as it was, and then as the creations
-- that are accepted leave it. For what is pending in a sequence, how many that are then.
local values = {}
local read = call('MGET', unpack(KEYS))
for i = 1, #KEYS do
  values[KEYS[i]] = read[i]
end

-- A `+` after the bytes says that there were too many: they must fall to the low limit first.
local bytes, full = tonumber(values[KEYS[2]] or 0), false
if not bytes then
  bytes, full = tonumber(sub(values[KEYS[2]], 1, -2)) or 0, true
end

-- Returns the last number that a counter gave, or nil and a reason to refuse, in which `which` says whose
-- counter it is.
local function last_of(counter, which)
  local value = values[counter]
  if type(value) == 'number' then
    return value
  elseif value == '-' then
    return nil, 'G'
  end
  local last = value and sub(value, 1, #KNOWN) == KNOWN and tonumber(sub(value, #KNOWN + 1))
  if last then
    return last
  end
  -- The sequence is unknown: hand out a lease on seeding it, with the highest number that is pending in it.
  -- After one second the next caller gets a new lease; if nobody asks, this one lasts for ten.
  local lease_key = sub(counter, 1, -2) .. 'l'
  if call('PTTL', lease_key) > 9000 then
    return nil, 'U' .. which
  end
  local highest = call('LINDEX', sub(counter, 1, -2) .. 'p', -1)
  local now = call('TIME')
  local lease = now[1] .. format('%06d', now[2])
  call('SET', lease_key, lease, 'PX', 10000)
  return nil, 'U' .. which .. lease .. ' ' .. (highest and string.match(highest, '^%d+') or '0')
end

-- Idempotency keys live for a day and are counted by the hour they were made in, so 25 hours are enough.
-- Returns the hour, how many there are, how many of this hour, and which hours are past.
local function count_keys(counts)
  local hour = math.floor(call('TIME')[1] / 3600)
  local count = call('HMGET', counts, 'total', 'hour', hour)
  local total, past = tonumber(count[1] or 0) or 0, {}
  if tonumber(count[2] or 0) ~= hour then
    total = 0
    local all = call('HGETALL', counts)
    for i = 1, #all, 2 do
      local made = tonumber(all[i])
      if made and made + 25 > hour then
        total = total + (tonumber(all[i + 1]) or 0)
      elseif made then
        past[#past + 1] = all[i]
      end
    end
  end
  return hour, total, tonumber(count[3] or 0) or 0, past
end
local key_counts, hour, keys, keys_of_hour, past_hours

-- The counters to be written, and whether a sequence or an idempotency key gets its value by this run.
local changed_counters, is_changed = {}, {}

-- Decides on the creation whose keys begin at `k` and arguments at `a`: returns its number, or what to answer
-- instead. Whatever may fail comes before anything is noted.
local function decide(k, a)
  if values[KEYS[1]] ~= EPOCH then
    return 'E'
  end
  local chats, sequence, pending = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local last, refusal = last_of(chats, 'c')
  if refusal then
    return refusal
  end

  local digest = ARGV[a + 3]
  local key = digest ~= '' and KEYS[k + 3]
  local used = key and values[key]
  if used then
    if sub(used, 1, 32) == digest then
      return 'R' .. sub(used, 33)
    end
    return 'K'
  end

  if sequence ~= chats then
    last, refusal = last_of(sequence, 's')
    if refusal then
      return refusal
    end
  end

  local exceeded = ARGV[a + 5]
  if exceeded ~= '' then
    return 'O' .. exceeded
  end
  local size = #ARGV[a]
  if full and bytes > LOW then
    return 'Ob'
  end
  if bytes + size > HIGH then
    full = true
    return 'Ob'
  end
  local length = is_changed[sequence] and values[pending] or call('LLEN', pending)
  if length >= PENDING or last >= 9007199254740991 then
    return 'Os'
  end
  if key then
    if not keys then
      key_counts = KEYS[k + 4]
      hour, keys, keys_of_hour, past_hours = count_keys(key_counts)
    end
    if keys >= KEYS_MOST then
      return 'Ok'
    end
  end

  if not is_changed[sequence] then
    is_changed[sequence] = true
    changed_counters[#changed_counters + 1] = sequence
  end
  local number = last + 1
  values[sequence], values[pending] = number, length + 1
  bytes, full = bytes + size, false
  if key then
    values[key] = digest .. format('%.0f', number) .. ' ' .. ARGV[a + 4]
    is_changed[key], is_changed[key_counts] = true, true
    keys, keys_of_hour = keys + 1, keys_of_hour + 1
  end
  return number
end

-- What to answer if the server refused a command.
local function error_of(failure)
  return 'X' .. (failure.err or tostring(failure))
end

local FIRST_KEY, ARGUMENTS = 4, 6
local answers, first_keys, was_full = {}, {}, full
local k = FIRST_KEY
for a = 1, #ARGV, ARGUMENTS do
  local i = #answers + 1
  local done, answer = pcall(decide, k, a)
  answers[i], first_keys[i] = done and answer or error_of(answer), k
  k = k + (ARGV[a + 3] == '' and 3 or 5)
end

if changed_counters[1] or full ~= was_full then
  local writes = { KEYS[2], format('%.0f', bytes) .. (full and '+' or '') }
  for i, counter in ipairs(changed_counters) do
    writes[2 * i + 1], writes[2 * i + 2] = counter, KNOWN .. format('%.0f', values[counter])
  end
  local done, failure = pcall(call, 'XLEN', KEYS[3])
  if done then
    done, failure = pcall(call, 'MSET', unpack(writes))
  end
  if not done then
    for i, answer in ipairs(answers) do
      local k, a = first_keys[i], ARGUMENTS * (i - 1) + 1
      -- Whoever repeats a request of this run was answered with its number, which is not given after all.
      local key = ARGV[a + 3] ~= '' and KEYS[k + 3]
      if type(answer) == 'number' or key and is_changed[key] then
        answers[i] = error_of(failure)
      end
    end
    return answers
  end
end

for i, number in ipairs(answers) do
  if type(number) == 'number' then
    local k, a = first_keys[i], ARGUMENTS * (i - 1) + 1
    local sequence, payload = KEYS[k + 1], ARGV[a]
    number = format('%.0f', number)
    local id = call('XADD', KEYS[3], '*', 'n', number, 'e', EPOCH, 's', ARGV[a + 1], 'd', payload)
    call('RPUSH', KEYS[k + 2], number .. ' ' .. id .. ' ' .. #payload .. ' ' .. ARGV[a + 2])
    answers[i] = number .. ' ' .. id
    if sequence == KEYS[k] then
      -- The new chat's own sequence is known from now on. Its key contains the number, so it is not among
      -- KEYS; if the slot is migrating, this may fail, and the chat is seeded later like any unknown
      -- sequence.
      local own = sub(sequence, 1, -2) .. ':' .. number
      redis.pcall('SET', own .. 'c', KNOWN .. '0', 'NX')
      -- A lease from before the chat existed must not be good for seeding it if its counter gets lost later.
      redis.pcall('DEL', own .. 'l')
    end
    if ARGV[a + 3] ~= '' then
      call('SET', KEYS[k + 3], values[KEYS[k + 3]], 'PX', 86400000)
    end
  end
end
if is_changed[key_counts] then
  call('HSET', key_counts, 'total', keys, 'hour', hour, hour, keys_of_hour)
  if past_hours[1] then
    call('HDEL', key_counts, unpack(past_hours))
  end
end
return answers
