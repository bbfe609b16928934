-- Reads pending creations of a range, with the last number that was issued.
--
-- KEYS: 1 the shard's epoch, 2 its stream, 3 the sequence's counter, 4 what is pending in it.
-- ARGV: 1 the lowest number, 2 the highest, 3 how many, 4 `d` for highest first.
-- Answers the epoch's mark, the counter, the highest pending number, how many were looked at, the last
-- of those, and then each one's fields.

local call = redis.call

local members
if ARGV[4] == 'd' then
  members = call('ZREVRANGEBYSCORE', KEYS[4], ARGV[2], ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
else
  members = call('ZRANGEBYSCORE', KEYS[4], ARGV[1], ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
end
local highest = call('ZREVRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
local answer = {
  call('GET', KEYS[1]) or '',
  call('GET', KEYS[3]) or '',
  highest or '0',
  #members / 2,
  members[#members] or '0',
}
for i = 1, #members, 2 do
  local id = string.match(members[i], '^(%S+) ')
  local entry = call('XRANGE', KEYS[2], id, id)[1]
  if entry then
    answer[#answer + 1] = entry[2]
  end
end
return answer
