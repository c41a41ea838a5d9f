
-- ARGV[3]: how many at most. ARGV[4]: XRANGE or XREVRANGE. ARGV[5]: the epoch of the place that is asked about.
-- ARGV[6]: where to begin in that epoch. ARGV[7] and ARGV[8]: where to begin in another one, and where to end.

local entries = {}
if ARGV[3] ~= '0' then
  local from = ARGV[5] == epoch and ARGV[6] or ARGV[7]
  entries = redis.call(ARGV[4], KEYS[1], from, ARGV[8], 'COUNT', ARGV[3])
end
return {epoch, offset, entries}
