"""The atomic steps of the Redis job store, in Lua. Redis's own clock decides about leases.

Keys: `job:{id}` hash · `jobs:all`, `jobs:owner:{owner}` by creation · `jobs:unsent` recorded, not known to be queued ·
`jobs:ended` what leaves the indexes once its record has expired · `function:{id}:unfinished` · `function:{id}:retired`.
"""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function tell(id, owner, fid, state)
  local event = {job_id = id, owner = owner, function_id = fid, status = state, at = now}
  redis.call('PUBLISH', 'jobs:events', cjson.encode(event))
end
local function index(id, owner, fid, created)
  redis.call('ZADD', 'jobs:all', created, id)
  redis.call('ZADD', 'jobs:owner:' .. owner, created, id)
  redis.call('SADD', 'function:' .. fid .. ':unfinished', id)
end
"""

# ARGV: id, owner, function_id, created_ms, head (record as JSON), message, inbox of who waits (or empty)
CREATE = (
    _NOW
    + """
local id, owner, fid, created = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', 'function:' .. fid .. ':retired') == 1 then return 'retired' end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'exists' end
redis.call('HSET', KEYS[1], 'state', 'PENDING', 'owner', owner, 'function_id', fid, 'created_at', created,
  'head', ARGV[5], 'message', ARGV[6], 'inbox', ARGV[7], 'token', 0, 'attempt', 0)
index(id, owner, fid, created)
redis.call('ZADD', 'jobs:unsent', now, id)
tell(id, owner, fid, 'PENDING')
return 'created'
"""
)

# ARGV: id, owner, function_id, created_ms, head (empty at first), lease_ms, executor_id, executor_address
CLAIM = (
    _NOW
    + """
local id, owner, fid, created = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  if ARGV[5] == '' then return {'unknown', 0, 0} end
  redis.call('HSET', KEYS[1], 'owner', owner, 'function_id', fid, 'created_at', created, 'head', ARGV[5])
  index(id, owner, fid, created)
elseif state == 'SUCCESS' or state == 'FAILED' or state == 'CANCELLED' then
  return {'finished', 0, 0}
elseif state == 'PROCESSING' and tonumber(redis.call('HGET', KEYS[1], 'lease_until')) > now then
  return {'busy', 0, 0}
end
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
redis.call('HSET', KEYS[1], 'state', 'PROCESSING', 'lease_until', now + ARGV[6], 'executor_id', ARGV[7],
  'executor_address', ARGV[8], 'started_at', now)
redis.call('HDEL', KEYS[1], 'message')
redis.call('ZREM', 'jobs:unsent', id)
tell(id, owner, fid, 'PROCESSING')
return {'owned', token, attempt}
"""
)

# Only the newest token of a job that still runs may go on.
_OWNED = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'token', 'state', 'owner', 'function_id', 'inbox')
"""
)

# ARGV: id, token, lease_ms
RENEW = (
    _OWNED
    + """
if held[1] ~= ARGV[2] or held[2] ~= 'PROCESSING' then return 0 end
redis.call('HSET', KEYS[1], 'lease_until', now + ARGV[3])
return 1
"""
)

# ARGV: id, token, what to add to the tries (0 or -1)
HAND_BACK = (
    _OWNED
    + """
if held[1] ~= ARGV[2] or held[2] ~= 'PROCESSING' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'PENDING', 'lease_until', 0)
redis.call('HINCRBY', KEYS[1], 'attempt', ARGV[3])
tell(ARGV[1], held[3], held[4], 'PENDING')
return 1
"""
)

# ARGV: id, token, state, record, ttl_s, owner, function_id
# A record that vanished (flushed Redis) is written anew; the same owner saying it twice is no error.
FINISH = (
    _OWNED
    + """
if held[2] and held[1] ~= ARGV[2] then return 0 end
if held[2] and held[2] ~= 'PROCESSING' then
  if held[2] == ARGV[3] then return 1 else return 0 end
end
local id, owner, fid, ttl = ARGV[1], ARGV[6], ARGV[7], tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'record', ARGV[4], 'token', ARGV[2], 'owner', owner, 'function_id', fid)
redis.call('HDEL', KEYS[1], 'head', 'message', 'lease_until', 'inbox')
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('SREM', 'function:' .. fid .. ':unfinished', id)
redis.call('ZADD', 'jobs:ended', now, owner .. '\\n' .. id)
redis.call('PUBLISH', 'result:' .. id, ARGV[4])
if held[5] and held[5] ~= '' then redis.call('PUBLISH', held[5], ARGV[4]) end
tell(id, owner, fid, ARGV[3])
-- Each end clears up to two that expired, so the indexes never outgrow what they point at.
for _, member in ipairs(redis.call('ZRANGEBYSCORE', 'jobs:ended', '-inf', now - ttl * 1000, 'LIMIT', 0, 2)) do
  local gone_owner, gone = string.match(member, '^(.*)\\n(.*)$')
  redis.call('ZREM', 'jobs:ended', member)
  redis.call('ZREM', 'jobs:all', gone)
  redis.call('ZREM', 'jobs:owner:' .. gone_owner, gone)
end
return 1
"""
)
