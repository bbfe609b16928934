-- Marks a sequence so that it numbers nothing any more; also where memory is full, which deletes mend.
--
-- KEYS: 1 the sequence's counter.
-- ARGV: 1 how long the mark is kept, in milliseconds.

-- Whoever is about to seed it was told that it lives.
redis.call('DEL', string.sub(KEYS[1], 1, -2) .. 'l')
return redis.call('SET', KEYS[1], '-', 'PX', ARGV[1])
