-- A node shows that it lives, and learns who doesn't.
-- KEYS[1]: the last sign of life of each node, in ms. KEYS[2]: the dead, and since when.
-- ARGV[1]: the node and its generation. ARGV[2]: how long a living node is silent at most, in ms. ARGV[3]: after how long
-- without a sign of anybody it must be Redis that nobody could reach. ARGV[4]: for how long the dead are remembered.
-- Answers with -1 if the node is among the dead; else with whether it was not known, and with those that it is to remove.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return {-1}
end

-- Also puts off the next one's turn: whoever is told removes alone, unless it fails.
local function bury(node)
  redis.call('ZADD', KEYS[2], now, node)
  redis.call('ZADD', KEYS[1], now, node)
end

local answer = {0}
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if oldest and now - oldest > tonumber(ARGV[2]) then
  local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
  if now - newest > tonumber(ARGV[3]) then
    for _, node in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
      redis.call('ZADD', KEYS[1], now, node)
    end
  else
    local silent = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2], 'LIMIT', 0, 16)
    for _, node in ipairs(silent) do
      if node ~= ARGV[1] then
        bury(node)
        answer[#answer + 1] = node
      end
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[4])
  end
end
answer[1] = redis.call('ZADD', KEYS[1], now, ARGV[1])
return answer
