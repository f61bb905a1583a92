"""The atomic steps of the Redis job store, in Lua. Redis's own clock decides about leases.

Keys: `job:{id}` hash · `jobs:all`, `jobs:owner:{owner}` by creation · `jobs:unsent` recorded, not known to be queued ·
`jobs:ended` what leaves the indexes once its record has expired · `jobs:cancelling` ids of running jobs that are to be
ended, and why · `function:{id}:unfinished` · `function:{id}:retired` · `functions:retired_jobs` ids to be cancelled.
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

# ARGV: id, owner, function_id, created_ms, head (record as JSON), message, inbox of who waits (or empty),
# name of the question and its fingerprint (both empty where it has none), seconds to remember it
# The same message under the same id is this very call, whose first answer was lost. A job that exists is from now on
# told to the inbox of the call that was repeated.
CREATE = (
    _NOW
    + """
local id, owner, fid, created = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local retired = redis.call('GET', 'function:' .. fid .. ':retired')
if retired and tonumber(ARGV[11]) <= tonumber(retired) then return {'retired'} end
local there = redis.call('HGET', KEYS[1], 'message')
if there == ARGV[6] then return {'created'} end
if there or redis.call('EXISTS', KEYS[1]) == 1 then
  local held = redis.call('HMGET', KEYS[1], 'owner', 'function_id', 'record')
  if ARGV[7] ~= '' and held[1] == owner and held[2] == fid and not held[3] then
    redis.call('HSET', KEYS[1], 'inbox', ARGV[7])
  end
  return {'exists'}
end
if ARGV[8] ~= '' then
  local asked = 'asked:' .. ARGV[8]
  local known = redis.call('HMGET', asked, 'fingerprint', 'job_id', 'answered')
  if known[1] then return {'known', known[1], known[2], known[3] or ''} end
  redis.call('HSET', asked, 'fingerprint', ARGV[9], 'job_id', id)
  redis.call('EXPIRE', asked, ARGV[10])
end
redis.call('HSET', KEYS[1], 'state', 'PENDING', 'owner', owner, 'function_id', fid, 'created_at', created,
  'head', ARGV[5], 'message', ARGV[6], 'inbox', ARGV[7], 'token', 0, 'attempt', 0)
index(id, owner, fid, created)
redis.call('ZADD', 'jobs:unsent', now, id)
tell(id, owner, fid, 'PENDING')
return {'created'}
"""
)

# ARGV: id, SHA-1 of the message it was created with. Only what no executor can have begun, and no repeated call has
# created since: the caller was told that it was not accepted.
WITHDRAW = """
if redis.call('HGET', KEYS[1], 'state') ~= 'PENDING' then return 0 end
if not redis.call('ZSCORE', 'jobs:unsent', ARGV[1]) then return 0 end
local held = redis.call('HMGET', KEYS[1], 'owner', 'function_id', 'message')
if not held[3] or redis.sha1hex(held[3]) ~= ARGV[2] then return 0 end
redis.call('ZREM', 'jobs:unsent', ARGV[1])
redis.call('ZREM', 'jobs:all', ARGV[1])
redis.call('ZREM', 'jobs:owner:' .. held[1], ARGV[1])
redis.call('SREM', 'function:' .. held[2] .. ':unfinished', ARGV[1])
return redis.call('DEL', KEYS[1])
"""

# ARGV: id, owner, function_id, created_ms, head (empty at first), lease_ms, executor_id, executor_address,
# whether the message was received before ('1' or '')
# Tokens are times, so that they grow even across a flush. A record rebuilt from a message that somebody received before
# is not owned yet: that somebody may live, and then says so within its lease.
CLAIM = (
    _NOW
    + """
local id, owner, fid, created = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = redis.call('HMGET', KEYS[1], 'state', 'lease_until', 'token')
local state, rebuilt = held[1], 0
if not state then
  if ARGV[5] == '' then return {'unknown', 0, 0, 0} end
  rebuilt = 1
  redis.call('HSET', KEYS[1], 'state', 'PENDING', 'owner', owner, 'function_id', fid, 'created_at', created,
    'head', ARGV[5], 'token', 0, 'attempt', 0)
  index(id, owner, fid, created)
  if ARGV[9] == '1' then return {'busy', 0, 0, 1} end
elseif state == 'SUCCESS' or state == 'FAILED' or state == 'CANCELLED' then
  return {'finished', 0, 0, 0}
elseif state == 'PROCESSING' and tonumber(held[2]) > now then
  return {'busy', 0, 0, 0}
end
local token = string.format('%d', math.max(tonumber(held[3] or 0) + 1, now))
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
redis.call('HSET', KEYS[1], 'state', 'PROCESSING', 'lease_until', now + ARGV[6], 'executor_id', ARGV[7],
  'executor_address', ARGV[8], 'started_at', now, 'token', token)
redis.call('HDEL', KEYS[1], 'message')
redis.call('ZREM', 'jobs:unsent', id)
tell(id, owner, fid, 'PROCESSING')
return {'owned', tonumber(token), attempt, rebuilt, redis.call('HGET', 'jobs:cancelling', id)}
"""
)

# Only the newest token of a job that still runs may go on. Where nobody's token is known Redis forgot the claim (it was
# flushed, or lost its last second in a crash): then whoever says that it owns the job does.
_OWNED = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'token', 'state', 'owner', 'function_id', 'inbox')
local forgotten = not held[2] or (held[2] == 'PENDING' and (not held[1] or held[1] == '0'))
"""
)

# ARGV: id, token, lease_ms, owner, function_id, created_ms, head (empty at first), executor_id, executor_address,
# attempt
RENEW = (
    _OWNED
    + """
if not forgotten then
  if held[1] ~= ARGV[2] or held[2] ~= 'PROCESSING' then return 0 end
  redis.call('HSET', KEYS[1], 'lease_until', now + ARGV[3])
  return 1
end
if ARGV[7] == '' then return 2 end
redis.call('HSET', KEYS[1], 'state', 'PROCESSING', 'owner', ARGV[4], 'function_id', ARGV[5], 'created_at', ARGV[6],
  'head', ARGV[7], 'token', ARGV[2], 'lease_until', now + ARGV[3], 'executor_id', ARGV[8], 'executor_address', ARGV[9],
  'started_at', now, 'attempt', ARGV[10])
redis.call('ZREM', 'jobs:unsent', ARGV[1])
index(ARGV[1], ARGV[4], ARGV[5], ARGV[6])
return 1
"""
)

# ARGV: id, token, what to add to the tries (0 or -1)
HAND_BACK = (
    _OWNED
    + """
if forgotten then return 1 end
if held[1] ~= ARGV[2] or held[2] ~= 'PROCESSING' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'PENDING', 'lease_until', 0)
redis.call('HINCRBY', KEYS[1], 'attempt', ARGV[3])
tell(ARGV[1], held[3], held[4], 'PENDING')
return 1
"""
)

# ARGV of every script that ends jobs: id, token (empty = no matter who owns it), state, record, ttl_s, owner,
# function_id, created_ms, what to publish instead of the record (or empty)
_END = """
local id, owner, fid, ttl = ARGV[1], ARGV[6], ARGV[7], tonumber(ARGV[5])
local token = ARGV[2] == '' and (held[1] or 0) or ARGV[2]
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'record', ARGV[4], 'token', token, 'owner', owner, 'function_id', fid)
redis.call('HDEL', KEYS[1], 'head', 'message', 'lease_until', 'inbox')
redis.call('ZREM', 'jobs:unsent', id)
redis.call('HDEL', 'jobs:cancelling', id)
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('SREM', 'function:' .. fid .. ':unfinished', id)
redis.call('ZADD', 'jobs:ended', now, owner .. '\\n' .. id)
redis.call('PUBLISH', 'result:' .. id, ARGV[9] ~= '' and ARGV[9] or ARGV[4])
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

# A record that vanished is written anew. The same owner saying it twice is no error.
FINISH = (
    _OWNED
    + """
if ARGV[2] ~= '' and not forgotten then
  if held[1] ~= ARGV[2] then return 0 end
  if held[2] ~= 'PROCESSING' then return held[2] == ARGV[3] and 1 or 0 end
end
if not held[2] then index(ARGV[1], ARGV[6], ARGV[7], ARGV[8]) end
"""
    + _END
)

# ARGV: as above, and the reason. A job that waits ends here and now, the owner of one that runs is asked to end it.
CANCEL = (
    _OWNED
    + """
if held[2] == 'PROCESSING' then
  redis.call('HSET', 'jobs:cancelling', ARGV[1], ARGV[10])
  return 1
end
if held[2] ~= 'PENDING' then return 0 end
"""
    + _END
)

# ARGV: id, owner, function_id, created_ms, head. The next life of a job that was given up; its tries begin anew.
REVIVE = (
    _NOW
    + """
local id, owner, fid, created = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = redis.call('HMGET', KEYS[1], 'state', 'token')
if held[1] == 'PENDING' or held[1] == 'PROCESSING' then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'PENDING', 'owner', owner, 'function_id', fid, 'created_at', created,
  'head', ARGV[5], 'token', tonumber(held[2] or 0), 'attempt', 0)
index(id, owner, fid, created)
redis.call('ZREM', 'jobs:ended', owner .. '\\n' .. id)
redis.call('HDEL', 'jobs:cancelling', id)
tell(id, owner, fid, 'PENDING')
return 1
"""
)
