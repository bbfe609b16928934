-- Finds the pending creation of a number; the program puts this text in front of the scripts that need it.
--
-- A list of pending creations is sorted by number, without duplicates; each entry is `number id size uid`.
-- Numbers have few gaps, so the index is guessed first, and else found by binary search.

local function number_of(entry)
  return tonumber(string.match(entry, '^%d+'))
end

-- Returns how many entries of a list have lower numbers, which is the index of the number's own entry.
local function place_of(list, number)
  local first = redis.call('LINDEX', list, 0)
  -- This would be the index without gaps; gaps only make it smaller.
  local most = first and number - number_of(first) or 0
  if most <= 0 then
    return 0
  end
  most = math.min(most, redis.call('LLEN', list))
  local function is_below(place)
    return number_of(redis.call('LINDEX', list, place)) < number
  end
  if is_below(most - 1) then
    return most
  end
  local least = 1
  most = most - 1
  while least < most do
    local middle = math.floor((least + most) / 2)
    if is_below(middle) then
      least = middle + 1
    else
      most = middle
    end
  end
  return least
end

-- Returns a number's whole entry, and its stream id, size and uid; nothing if the number is not pending.
local function find(list, number)
  number = tonumber(number)
  local entry = redis.call('LINDEX', list, place_of(list, number))
  if entry and number_of(entry) == number then
    local id, size = string.match(entry, '^%d+ (%S+) (%d+) ')
    return entry, id, tonumber(size), string.sub(entry, -16)
  end
end

