-- What the scripts have in common: where the target stands.
-- KEYS[1]: the stream of what is kept. KEYS[2]: the newest place.
-- ARGV[1]: for how long the place is kept, in ms. ARGV[2]: the name of the epoch that begins if one must.

local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY this server is not the primary')
end
local _, before = string.find(info, 'master_replid:', 1, true)
if not before then
  return redis.error_reply('NOREPLID this server does not tell its replication id, which histories need')
end
local primary = string.sub(info, before + 1, before + 40)

local place = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'primary')
local epoch, offset = place[1], tonumber(place[2])

local function begin()
  epoch, offset = ARGV[2], 0
  -- Written first: where memory is short this is refused, and nothing has changed.
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'offset', offset, 'primary', primary)
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
  redis.call('UNLINK', KEYS[1])
end

if not (epoch and offset and place[3] == primary) then
  begin()
end
