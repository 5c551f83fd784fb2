// Lua scripts: the changes of a run that must be atomic. KEYS[1] is the run in each.

/** Creates a run. Gives `created`, or the state of the run that exists already. */
export const createScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if state then return state end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('XADD', KEYS[3], '*', 'at', ARGV[2], 'event', ARGV[3])
return 'created'`;

/**
 * Moves a run from one of some states to another, when the caller owns it (an empty owner stands for anybody).
 * Gives `ok`, `superseded`, `missing`, or the run's state when it is none of those.
 */
export const transitionScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'missing' end
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 'superseded' end
if not string.find(ARGV[2], state, 1, true) then return state end
redis.call('HSET', KEYS[1], 'state', ARGV[3], unpack(ARGV, 7))
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'at', ARGV[5], 'event', ARGV[4])
if ARGV[6] ~= '0' then
  for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[6]) end
end
return 'ok'`;

/** Begins the next attempt of a run that has ended. Gives its number, or the state that forbids it. */
export const replayScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'missing' end
if state ~= 'completed' and state ~= 'failed' and state ~= 'cancelled' then return state end
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('HDEL', KEYS[1], 'startedAt', 'finishedAt', 'error', 'failure', 'output', 'progress', 'owner')
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'at', ARGV[1], 'event', cjson.encode({ type = 'state', state = 'queued', attempt = attempt }))
return attempt`;

/** Writes fields of KEYS[2] when the caller still owns the run. Gives 1 or 0. */
export const ownedWriteScript = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1`;

/** Records the first item that failed for good in this attempt. */
export const failureScript = `
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
return redis.call('HSETNX', KEYS[1], 'failure', ARGV[2])`;

/** Stores a dead letter by its reference, unless there are too many. */
export const deadLetterScript = `
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1`;
