-- KEYS[3]: the channels of the partition on which the dead node has members.
-- ARGV[4]: the channel. ARGV[5]: what stood there of it. ARGV[6]: the node, as members begin with it. ARGV[7]: how many
-- are removed at most. Answers with how many were, and whether there may be more.

-- The node is back, and these are its members again.
if redis.call('HGET', KEYS[3], ARGV[4]) ~= ARGV[5] then
  return {0, 0}
end
local limit, removed = tonumber(ARGV[7]), 0
for _, member in ipairs(redis.call('ZRANGEBYLEX', members, '[' .. ARGV[6], '+', 'LIMIT', 0, limit)) do
  if string.sub(member, 1, 8) ~= ARGV[6] then
    break
  end
  remove(member)
  removed = removed + 1
end
if removed == limit then
  return {removed, 1}
end
redis.call('HDEL', KEYS[3], ARGV[4])
return {removed, 0}
