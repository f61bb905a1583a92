"""The atomic steps of the Redis queue, in Lua.

Redis's own clock decides when a message is due, so receivers need not agree.

A held message is an entry of a stream. One that waits for its delay is a member `{receives}:{id}:{body}` of a sorted
set, scored by its due time in ms; the id ends with `a` where it came from the async lane. A message that was given back
joins the stream of the sync lane, since it must not wait behind a backlog again. Its field `l` says that it is async.
"""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: sync, delayed
PROMOTE = (
    _NOW
    + """
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)
for _, member in ipairs(due) do
  local receives, id, body = string.match(member, '^(%d+):([^:]*):(.*)$')
  redis.call('XADD', KEYS[1], '*', 'b', body, 'r', receives, 'l', string.sub(id, -1) == 'a' and 'async' or '')
  redis.call('ZREM', KEYS[2], member)
end
return #due
"""
)

# Hands out what is there without waiting, the sync first.
# KEYS: sync, tasks. ARGV: group, consumer, most, most async_count
TAKE = """
local found = {}
local function take(key, most)
  if most <= 0 then return end
  local answer = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', most, 'STREAMS', key, '>')
  for _, entry in ipairs(answer and answer[1][2] or {}) do
    local fields = {}
    for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
    found[#found + 1] = {key, entry[1], fields.b, tonumber(fields.r or 0), fields.l or ''}
  end
end
take(KEYS[1], tonumber(ARGV[3]))
take(KEYS[2], math.min(tonumber(ARGV[3]) - #found, tonumber(ARGV[4])))
return found
"""

# Every change of a held message first proves that this consumer still holds it. KEYS[1]: its stream.
# ARGV: group, consumer, entry id, …
_HELD = """
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #held == 0 or held[1][2] ~= ARGV[2] then return 0 end
"""

EXTEND = _HELD + "redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID') return 1"

_GONE = """
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
return 1
"""

# KEYS: its stream, delayed, sync. ARGV: …, delay_ms, receives to remember, body, lane (`async` or empty)
RELEASE = (
    _HELD
    + _NOW
    + """
if tonumber(ARGV[4]) <= 0 then
  redis.call('XADD', KEYS[3], '*', 'b', ARGV[6], 'r', ARGV[5], 'l', ARGV[7])
else
  local id = ARGV[3] .. (ARGV[7] == 'async' and 'a' or '')
  redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[5] .. ':' .. id .. ':' .. ARGV[6])
end
"""
    + _GONE
)

# KEYS: its stream, dead. ARGV: …, body, reason, receives
BURY = _HELD + "redis.call('XADD', KEYS[2], '*', 'b', ARGV[4], 'reason', ARGV[5], 'receives', ARGV[6])" + _GONE

# KEYS: dead, tasks. ARGV: letter ids
REDRIVE = """
local moved = 0
for _, id in ipairs(ARGV) do
  local found = redis.call('XRANGE', KEYS[1], id, id)
  if #found == 1 then
    for at = 1, #found[1][2], 2 do
      if found[1][2][at] == 'b' then redis.call('XADD', KEYS[2], '*', 'b', found[1][2][at + 1]) end
    end
    moved = moved + redis.call('XDEL', KEYS[1], id)
  end
end
return moved
"""
