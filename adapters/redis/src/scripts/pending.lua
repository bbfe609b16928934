-- Reads pending creations of a range, with the last number that was issued.
--
-- KEYS: 1 the shard's epoch, 2 its stream, 3 the sequence's counter, 4 what is pending in it.
-- ARGV: 1 the lowest number, 2 the highest, 3 how many at most, 4 the bytes after which to stop, 5 `d` for
-- highest first.
-- Returns the epoch's mark, the counter, the highest pending number, the last number that was looked at
-- (0 once nothing is left of the range), and then the fields of each creation.

local call, format = redis.call, string.format
local lowest, highest = tonumber(ARGV[1]), tonumber(ARGV[2])
local most, bytes, descends = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == 'd'

local last = call('LINDEX', KEYS[4], -1)
local answer = {
  call('GET', KEYS[1]) or '',
  call('GET', KEYS[3]) or '',
  last and format('%.0f', number_of(last)) or '0',
  '0',
}
local entries, first, step
if descends then
  local behind = place_of(KEYS[4], highest + 1)
  entries = behind > 0 and call('LRANGE', KEYS[4], math.max(0, behind - most), behind - 1) or {}
  first, step = #entries, -1
else
  local place = place_of(KEYS[4], lowest)
  entries = call('LRANGE', KEYS[4], place, place + most - 1)
  first, step = 1, 1
end
for i = first, first + step * (#entries - 1), step do
  local number = number_of(entries[i])
  if number < lowest or number > highest then
    answer[4] = '0'
    break
  end
  local id, size = string.match(entries[i], '^%d+ (%S+) (%d+) ')
  local entry = call('XRANGE', KEYS[2], id, id)[1]
  if entry then
    answer[#answer + 1] = entry[2]
  end
  answer[4] = format('%.0f', number)
  bytes = bytes - size
  if bytes <= 0 then
    return answer
  end
end
if #entries < most then
  answer[4] = '0'
end
return answer
