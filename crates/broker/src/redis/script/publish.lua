
-- KEYS[3], where there is an idempotency key: the answer to it.
-- ARGV[3]: the beginning of the envelope. ARGV[4]: the Pub/Sub channel. ARGV[5]: how many publications are kept.
-- ARGV[6]: for how long, in ms. ARGV[7]: for how long the answer is remembered, in ms. ARGV[8]: PUBLISH or SPUBLISH.

if KEYS[3] then
  local answer = redis.call('GET', KEYS[3])
  if answer then
    local of, at = string.match(answer, '^(%w+)%.(%d+)$')
    return {of, tonumber(at)}
  end
end

local envelope
local function append()
  offset = offset + 1
  envelope = ARGV[3] .. '\161o' .. cmsgpack.pack(offset) .. '\161e' .. cmsgpack.pack(epoch)
  return redis.pcall('XADD', KEYS[1], 'MAXLEN', ARGV[5], string.format('%d-0', offset), 'd', envelope)
end

local added = append()
if type(added) == 'table' and string.find(added.err, 'equal or smaller', 1, true) then
  -- The stream is ahead of the place, which only somebody else can have brought about.
  begin()
  added = append()
end
if type(added) == 'table' then
  return added
end

redis.call('HSET', KEYS[2], 'offset', offset)
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if KEYS[3] then
  redis.call('SET', KEYS[3], string.format('%s.%d', epoch, offset), 'PX', ARGV[7])
end
redis.call(ARGV[8], ARGV[4], envelope)
return {epoch, offset}
