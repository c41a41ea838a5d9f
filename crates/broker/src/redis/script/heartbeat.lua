-- A write, since a demoted primary still takes a bare PUBLISH, to which nobody listens any more. Answers with whether
-- the key was there, and if asked with how many keys Redis has evicted.
-- KEYS[1]: the node's key, and Pub/Sub channel. ARGV[1]: what comes round. ARGV[2]: for how long the key is kept, in ms.
-- ARGV[3]: '1' asks for evictions. ARGV[4]: PUBLISH or SPUBLISH.

local kept = redis.call('PEXPIRE', KEYS[1], ARGV[2])
if kept == 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
local evicted = -1
if ARGV[3] == '1' then
  evicted = tonumber(string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)') or -1)
end
redis.call(ARGV[4], KEYS[1], ARGV[1])
return {kept, evicted}
