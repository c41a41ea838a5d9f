-- Gives a connection a place among those of its user, if one is left. Answers with whether it has one.
-- KEYS[1]: the members of the user's channel of leases. KEYS[2]: the channels of the partition on which the node has
-- members. ARGV[1]: that channel. ARGV[2]: what stands there of it. ARGV[3]: the connection, as a member.
-- ARGV[4]: how many there may be.

if redis.call('ZSCORE', KEYS[1], ARGV[3]) then
  return 1
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then
  return 0
end
-- Written first: where memory is short this is refused, and whoever removes a dead node's members must find it.
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], 0, ARGV[3])
return 1
