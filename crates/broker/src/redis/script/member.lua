-- What the scripts about members have in common.
-- KEYS[1]: the members of the channel, a sorted set of equal scores, hence in the order of their bytes: the connection
-- (16 bytes), the length of the user (1 byte), the user, the record. KEYS[2]: how many connections each user has there.
-- ARGV[1]: the Pub/Sub channel. ARGV[2]: what stands behind a record in an envelope. ARGV[3]: '1' where changes are told.
-- The last of them: PUBLISH or SPUBLISH.

local members, users = KEYS[1], KEYS[2]

local function find(connection)
  local found = redis.call('ZRANGEBYLEX', members, '[' .. connection, '+', 'LIMIT', 0, 1)[1]
  if found and string.sub(found, 1, 16) == connection then
    return found
  end
end

-- Counts a connection of the member's user; whether it is the first, or was the last.
local function count(member, by)
  local length = string.byte(member, 17)
  if length == 0 then
    return false
  end
  local user = string.sub(member, 18, 17 + length)
  local connections = redis.call('HINCRBY', users, user, by)
  if connections <= 0 then
    redis.call('HDEL', users, user)
    return true
  end
  return by > 0 and connections == 1
end

local function tell(member, change, with_user)
  if ARGV[3] == '1' then
    local record = string.sub(member, 18 + string.byte(member, 17))
    local ending = '\161p' .. change .. '\161f' .. (with_user and '\195' or '\194')
    redis.call(ARGV[#ARGV], ARGV[1], record .. ARGV[2] .. ending)
  end
end

local function remove(member, silently)
  redis.call('ZREM', members, member)
  local with_user = count(member, -1)
  if not silently then
    tell(member, '\2', with_user)
  end
end

-- Whether the member was not there.
local function add(member, silently)
  local before = find(string.sub(member, 1, 16))
  if before == member then
    return false
  end
  if before then
    remove(before, true)
  end
  redis.call('ZADD', members, 0, member)
  local with_user = count(member, 1)
  if not before and not silently then
    tell(member, '\1', with_user)
  end
  return not before
end

