// Changes of a run that must be atomic. In each, KEYS[1] is the run.

/** Makes a run that is not there. Gives `created`, or the state of the one that is. */
export const createScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if state then return state end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('XADD', KEYS[3], '*', 'at', ARGV[2], 'event', ARGV[3])
return 'created'`;

/**
 * Brings a run from one of some states to another, when the caller still owns it (an empty owner is anybody).
 * Gives `ok`, `superseded`, `missing`, or the state that was none of those.
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

/** Begins the next round of a run that has ended. Gives its number, or the state that forbids it. */
export const replayScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'missing' end
if state ~= 'completed' and state ~= 'failed' and state ~= 'cancelled' then return state end
local round = redis.call('HINCRBY', KEYS[1], 'round', 1)
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('HDEL', KEYS[1], 'startedAt', 'finishedAt', 'error', 'failure', 'output', 'progress', 'owner')
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'at', ARGV[1], 'event', cjson.encode({ type = 'state', state = 'queued', attempt = round }))
return round`;

/** Writes fields of KEYS[2] when the caller still owns the run. Gives 1 or 0. */
export const ownedWriteScript = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1`;

/** Takes note of the first item that failed for good in this round. */
export const failureScript = `
if redis.call('HGET', KEYS[1], 'round') ~= ARGV[1] then return 0 end
return redis.call('HSETNX', KEYS[1], 'failure', ARGV[2])`;

/** Keeps a dead letter under its reference, unless there are too many. */
export const deadLetterScript = `
if redis.call('HGET', KEYS[1], 'round') ~= ARGV[1] then return 0 end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1`;
