// Lua scripts for atomic changes of a run. KEYS[1] is the run and KEYS[2] its events, unless the comment of a script
// says otherwise. All times are those of Redis, so a wrong clock of a machine does no harm.

const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

const publishing = `${clock}
local function publish(event)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'at', now, 'event', event)
end`;

const ending = `
local function hasEnded(state)
  return state == 'completed' or state == 'incomplete' or state == 'failed' or state == 'cancelled'
end`;

/** Makes a key that is written after its run KEYS[1] has ended expire together with the run. */
const expiring = `
local function expireWithRun(key)
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then redis.call('PEXPIRE', key, left) end
end`;

/**
 * Finds the first of some claims that a live run other than `id` holds, with this run. `keys` is the key prefix of
 * runs.
 */
const claims = `${ending}
local function holderOf(claim, keys, id)
  local holder = redis.call('HGET', CLAIMS, claim)
  if not holder or holder == id then return nil end
  local state = redis.call('HGET', keys .. holder, 'state')
  if not state or hasEnded(state) then return nil end
  return holder
end
local function claim(names, keys, id)
  for _, name in ipairs(names) do
    local holder = holderOf(name, keys, id)
    if holder then return { 'busy', holder, name } end
  end
  for _, name in ipairs(names) do redis.call('HSET', CLAIMS, name, id) end
end`;

/**
 * `first`: milliseconds after which a worker adds the job of a run that has not begun, because its producer may have
 * died. `next`: milliseconds until it is added again, which changes nothing if the job exists.
 */
const pendingTime = { first: 10_000, next: 60_000 };

/**
 * Returns the pending runs in KEYS[1] whose jobs should be added, each followed by its attempt and priority. ARGV:
 * maximum number, key prefix of runs.
 */
export const pendingScript: string = `${clock}${ending}
local due = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 0, now, 'LIMIT', 0, ARGV[1])) do
  local state, attempt, priority = unpack(redis.call('HMGET', ARGV[2] .. id, 'state', 'attempt', 'priority'))
  if not state or hasEnded(state) then
    redis.call('ZREM', KEYS[1], id)
  else
    redis.call('ZADD', KEYS[1], now + ${pendingTime.next}, id)
    for _, value in ipairs({ id, attempt, priority }) do due[#due + 1] = value end
  end
end
return due`;

/**
 * Creates a run. KEYS[3] is the index of runs, KEYS[4] the claims, KEYS[5] the pending runs. ARGV: id, event, claim of
 * the request or '', other claims as JSON, key prefix of runs, fields of the run. Returns `created`; `same` with the
 * live run of the same request; `busy` with the live run that holds a claim and the claim; or `exists`. It also removes
 * some expired runs from the index, so that the index stays small even if nobody lists the runs.
 */
export const createScript: string = `${publishing}
local CLAIMS = KEYS[4]${claims}
if redis.call('EXISTS', KEYS[1]) == 1 then return { 'exists' } end
if ARGV[3] ~= '' then
  local same = holderOf(ARGV[3], ARGV[5], ARGV[1])
  if same then return { 'same', same } end
end
local names = cjson.decode(ARGV[4])
local busy = claim(names, ARGV[5], ARGV[1])
if busy then return busy end
if ARGV[3] ~= '' then redis.call('HSET', CLAIMS, ARGV[3], ARGV[1]) end
redis.call('HSET', KEYS[1], 'createdAt', now, 'request', ARGV[3], 'claims', ARGV[4], unpack(ARGV, 6))
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZADD', KEYS[5], now + ${pendingTime.first}, ARGV[1])
for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[3], 10)) do
  if redis.call('EXISTS', ARGV[5] .. id) == 0 then redis.call('ZREM', KEYS[3], id) end
end
publish(ARGV[2])
return { 'created' }`;

/**
 * Makes a coordinator the owner of an attempt, in place of any previous owner. KEYS[3]: the pending runs. ARGV: owner,
 * attempt, event, version of the workflow, and the model as JSON or an empty string, which the run keeps if it has no model
 * yet. Returns `ok`; `missing`; `superseded` by another attempt; `changed` if the attempt began with another version; or
 * the state of a run that has ended.
 */
export const beginScript: string = `${publishing}${ending}
local state, attempt, version = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'version'))
if not state then return 'missing' end
if attempt ~= ARGV[2] then return 'superseded' end
if hasEnded(state) then return state end
if version and version ~= ARGV[4] then return 'changed' end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'version', ARGV[4])
redis.call('HDEL', KEYS[1], 'needs')
if ARGV[5] ~= '' then redis.call('HSETNX', KEYS[1], 'model', ARGV[5]) end
redis.call('HSETNX', KEYS[1], 'startedAt', now)
redis.call('ZREM', KEYS[3], redis.call('HGET', KEYS[1], 'id'))
if state == 'queued' then
  redis.call('HSET', KEYS[1], 'state', 'running')
  publish(ARGV[3])
end
return 'ok'`;

/**
 * Adds the run of attempt ARGV[1] to the pending runs KEYS[2], whose jobs are added again after ARGV[2] milliseconds.
 * ARGV[3]: the model that it waits for, as JSON.
 */
export const postponeScript: string = `${clock}${ending}
local state, attempt, id = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'id'))
if attempt ~= ARGV[1] or hasEnded(state) then return 0 end
redis.call('HSET', KEYS[1], 'needs', ARGV[3])
return redis.call('ZADD', KEYS[2], now + ARGV[2], id)`;

/**
 * Changes the state of an attempt from one of `states` to `state`, if the caller owns it (an empty owner matches any).
 * If the run ends, its claims in KEYS[3] and its entry in KEYS[4] are removed, and all other KEYS expire; a completed run
 * has no failed items in KEYS[5]. ARGV: owner,
 * attempt, states, state, event, retention in seconds, further fields. Returns `ok`; `superseded`; `missing`; or the
 * state of the run if it is not one of `states`.
 */
export const transitionScript: string = `${publishing}
local state, attempt, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt', 'owner'))
if not state then return 'missing' end
if attempt ~= ARGV[2] or (ARGV[1] ~= '' and owner ~= ARGV[1]) then return 'superseded' end
if not string.find(ARGV[3], state, 1, true) then return state end
redis.call('HSET', KEYS[1], 'state', ARGV[4], unpack(ARGV, 7))
publish(ARGV[5])
if ARGV[4] == 'completed' then redis.call('DEL', KEYS[5]) end
if ARGV[6] ~= '0' then
  redis.call('HSET', KEYS[1], 'finishedAt', now)
  local id, request, claims = unpack(redis.call('HMGET', KEYS[1], 'id', 'request', 'claims'))
  local names = cjson.decode(claims or '[]')
  if request then names[#names + 1] = request end
  for _, name in ipairs(names) do
    if redis.call('HGET', KEYS[3], name) == id then redis.call('HDEL', KEYS[3], name) end
  end
  redis.call('ZREM', KEYS[4], id)
  redis.call('EXPIRE', KEYS[1], ARGV[6])
  redis.call('EXPIRE', KEYS[2], ARGV[6])
  for index = 5, #KEYS do redis.call('EXPIRE', KEYS[index], ARGV[6]) end
end
return 'ok'`;

/**
 * Begins the attempt after ARGV[1] of a run that has ended. Idempotent. KEYS[3] are the claims, KEYS[4] the pending
 * runs, KEYS[5] the failed items; all following keys are deleted. ARGV[2]: event; ARGV[3]: key prefix of runs; ARGV[4]: the ids of
 * the failed items to retry as JSON, empty for all. Returns `ok`;
 * `superseded`; `missing`; the state of a run that has not ended; or `busy` with the live run that holds a claim and
 * the claim.
 */
export const replayScript: string = `${publishing}
local CLAIMS = KEYS[3]${claims}
local state, attempt = unpack(redis.call('HMGET', KEYS[1], 'state', 'attempt'))
if not state then return 'missing' end
if tonumber(attempt) == ARGV[1] + 1 and state == 'queued' then return 'ok' end
if attempt ~= ARGV[1] then return 'superseded' end
if not hasEnded(state) then return state end
local id, request, names = unpack(redis.call('HMGET', KEYS[1], 'id', 'request', 'claims'))
local busy = claim(cjson.decode(names or '[]'), ARGV[3], id)
if busy then return busy end
if request and request ~= '' and not holderOf(request, ARGV[3], id) then redis.call('HSET', CLAIMS, request, id) end
redis.call('HINCRBY', KEYS[1], 'attempt', 1)
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('HDEL', KEYS[1], 'startedAt', 'finishedAt', 'error', 'output', 'progress', 'owner', 'version',
  'faults', 'faultsSince', 'fault', 'probe')
redis.call('ZADD', KEYS[4], now + ${pendingTime.first}, id)
local retried = ARGV[4] ~= '' and cjson.decode(ARGV[4]) or redis.call('HKEYS', KEYS[5])
for _, item in ipairs(retried) do redis.call('HDEL', KEYS[5], item) end
for _, item in ipairs(redis.call('HKEYS', KEYS[5])) do
  if not string.find(item, '#', 1, true) then redis.call('HDEL', KEYS[5], item) end
end
redis.call('PERSIST', KEYS[5])
for index = 6, #KEYS do redis.call('DEL', KEYS[index]) end
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
publish(ARGV[2])
return 'ok'`;

/** Publishes event ARGV[2] of attempt ARGV[1]. If the run is at another attempt, the event is dropped. */
export const eventScript: string = `${publishing}
if redis.call('HGET', KEYS[1], 'attempt') == ARGV[1] then publish(ARGV[2]) end`;

/** Writes fields of KEYS[2] if the caller owns the run; a field with an empty value is removed. Returns 1 or 0. */
export const ownedWriteScript: string = `${expiring}
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
for index = 2, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[index])
  else
    redis.call('HSET', KEYS[2], ARGV[index], ARGV[index + 1])
  end
end
expireWithRun(KEYS[2])
return 1`;

/** Stores a dead letter of attempt ARGV[1] in KEYS[2] by its reference, up to a maximum number. */
export const deadLetterScript: string = `${expiring}
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
expireWithRun(KEYS[2])
return 1`;

/**
 * Counts a failed step attempt of run attempt ARGV[1]. The count begins again after each completed step. ARGV[2]: the
 * reason. Returns the time, and the time of the first counted failure.
 */
export const faultScript: string = `${clock}
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return { now, now } end
redis.call('HINCRBY', KEYS[1], 'faults', 1)
redis.call('HSETNX', KEYS[1], 'faultsSince', now)
redis.call('HSET', KEYS[1], 'fault', ARGV[2])
return { now, tonumber(redis.call('HGET', KEYS[1], 'faultsSince')) }`;

/** Resets the count of failed step attempts of run attempt ARGV[1], because a step has completed. */
export const clearFaultsScript = `
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'faults', 'faultsSince', 'fault', 'probe')`;

/**
 * Parks job ARGV[2] of run KEYS[1] in KEYS[2] for ARGV[1] milliseconds, at least one, so that the time differs from
 * that of an earlier record of the same job that was already due.
 */
export const parkScript: string = `${clock}${expiring}
redis.call('ZADD', KEYS[2], now + math.max(1, tonumber(ARGV[1])), ARGV[2])
expireWithRun(KEYS[2])`;

/**
 * Removes the record of job ARGV[1] in KEYS[1] if its time is ARGV[2]. Another time means that the job was parked
 * again.
 */
export const unparkScript = `
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[1]) end`;

/** Returns at most ARGV[1] due jobs in KEYS[1], each followed by its time, unless run KEYS[2] is paused. */
export const dueScript: string = `${clock}
if redis.call('HGET', KEYS[2], 'state') == 'paused' then return {} end
return redis.call('ZRANGEBYSCORE', KEYS[1], 0, now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])`;

/**
 * Returns one due job in KEYS[1], followed by its time, and makes it the probe of attempt ARGV[1] of run KEYS[2],
 * unless the run is paused.
 */
export const probeScript: string = `${clock}
local state, attempt = unpack(redis.call('HMGET', KEYS[2], 'state', 'attempt'))
if state == 'paused' or attempt ~= ARGV[1] then return {} end
local jobs = redis.call('ZRANGEBYSCORE', KEYS[1], 0, now, 'WITHSCORES', 'LIMIT', 0, 1)
if jobs[1] then redis.call('HSET', KEYS[2], 'probe', jobs[1]) end
return jobs`;

/**
 * Counts a step against the rate limit in the hash KEYS[1], with the counter KEYS[2]. Returns 0 if the step may begin,
 * or the milliseconds to wait before the next try.
 */
export const rateLimitScript = `
local max, duration = unpack(redis.call('HMGET', KEYS[1], 'max', 'duration'))
if not max then return 0 end
if tonumber(redis.call('GET', KEYS[2]) or 0) >= tonumber(max) then
  local left = redis.call('PTTL', KEYS[2])
  if left > 0 then return left end
  redis.call('DEL', KEYS[2])
end
if redis.call('INCR', KEYS[2]) == 1 then redis.call('PEXPIRE', KEYS[2], duration) end
return 0`;
