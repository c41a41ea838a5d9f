-- KEYS[3]: the channels of the partition on which the node has members, each with the node's generation, ':', and ARGV[3].
-- ARGV[4]: the channel. ARGV[5]: what stands there of it. ARGV[6]: the node, as members begin with it.
-- ARGV[7] and so on, in pairs: what to do, and the member (to leave and to vanish, its connection).

local joined, left, returned = 0, 0, 0
for at = 7, #ARGV - 1, 2 do
  local change, member = ARGV[at], ARGV[at + 1]
  if change == 'enter' or change == 'return' then
    -- Written first: where memory is short this is refused, and whoever removes a dead node's members must find it.
    redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
    if add(member, change == 'return') then
      if change == 'enter' then joined = joined + 1 else returned = returned + 1 end
    end
  else
    local found = find(member)
    if found then
      remove(found, change == 'vanish')
      left = left + 1
    end
  end
end

local first = redis.call('ZRANGEBYLEX', members, '[' .. ARGV[6], '+', 'LIMIT', 0, 1)[1]
if not first or string.sub(first, 1, 8) ~= ARGV[6] then
  redis.call('HDEL', KEYS[3], ARGV[4])
end
return {joined, left, returned}
