-- Says of each entry whether it is still pending, confirmed, and set aside.
--
-- KEYS: 1 the dead letters, 2 the confirmed ids; then what is pending in each entry's sequence.
-- ARGV: for each entry its number, its id and its uid.
-- Returns for each entry an empty string if it is not pending, else `1` if it is confirmed or `0` if not,
-- followed by its dead letter, if any.

local call = redis.call
local answer = {}
for i = 3, #KEYS do
  local at = 3 * (i - 3)
  local number, id, uid = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local _, pending = find(KEYS[i], number)
  if pending == id then
    local letter = call('HGET', KEYS[1], uid) or ''
    answer[#answer + 1] = call('SISMEMBER', KEYS[2], id) .. letter
  else
    answer[#answer + 1] = ''
  end
end
return answer
