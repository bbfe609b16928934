-- Makes an unknown sequence known, for the holder of its lease.
--
-- The program puts the same definitions in front of this text as of `create.lua`, so that a run of the
-- server that was not admitted does not know it.
--
-- KEYS: 1 the shard's epoch, 2 the sequence's counter, 3 its lease, 4 what is pending in it, 5 what is
-- pending of the application's chats.
-- ARGV: 1 the lease, 2 the last number that may have been given, 3 how long an idle counter lives, in
-- milliseconds, 4 the chat's number, or nothing for an application's chats.

local call, sub = redis.call, string.sub

if call('GET', KEYS[1]) ~= EPOCH or call('GET', KEYS[3]) ~= ARGV[1] then
  return 0
end
local value = call('GET', KEYS[2])
if value == '-' then
  return 0
end
if value and sub(value, 1, #KNOWN) == KNOWN and tonumber(sub(value, #KNOWN + 1)) then
  return 0
end

local last = ARGV[2]
local highest = call('LINDEX', KEYS[4], -1)
if highest and number_of(highest) > tonumber(last) then
  last = string.format('%.0f', number_of(highest))
end
-- A counter may expire only if nothing is pending in it, and its chat's own creation is not pending either.
local needed = highest or (ARGV[4] ~= '' and find(KEYS[5], ARGV[4]))
if needed then
  call('SET', KEYS[2], KNOWN .. last)
else
  call('SET', KEYS[2], KNOWN .. last, 'PX', ARGV[3])
end
call('DEL', KEYS[3])
return 1
