-- Marks a sequence as deleted, so that it gives no more numbers; runs even if memory is full, since
-- deleting frees some.
--
-- KEYS: 1 the sequence's counter.
-- ARGV: 1 how long the mark is kept, in milliseconds.

-- End the lease on seeding it: its holder may have read that the sequence still exists.
redis.call('DEL', string.sub(KEYS[1], 1, -2) .. 'l')
return redis.call('SET', KEYS[1], '-', 'PX', ARGV[1])
