-- Finds what is pending under a number; stands above the scripts that need it.
--
-- A list of pending creations is in the order of its numbers, no two of them the same, each entry
-- `number id size uid`. Numbers have few gaps, so where one stands is guessed first, and else sought by
-- halves.

local function number_of(entry)
  return tonumber(string.match(entry, '^%d+'))
end

-- Answers how many entries of a list are below a number, which is the place of that number's own.
local function place_of(list, number)
  local first = redis.call('LINDEX', list, 0)
  -- Nothing stands further than it would without gaps.
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

-- Answers what is pending under a number: all of its entry, the stream's id, the size and the uid.
local function find(list, number)
  number = tonumber(number)
  local entry = redis.call('LINDEX', list, place_of(list, number))
  if entry and number_of(entry) == number then
    local id, size = string.match(entry, '^%d+ (%S+) (%d+) ')
    return entry, id, tonumber(size), string.sub(entry, -16)
  end
end

