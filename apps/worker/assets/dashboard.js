// The dashboard: reads the overview once a second and shows it.

const period = 1000;
/** Milliseconds over which a rate is averaged. */
const span = 15_000;
const shown = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString('en');

/** An element with attributes and children. Strings become text, never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'onclick') made.addEventListener('click', value);
    else if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/** How fast counters grow, by name, averaged over the last seconds. */
class Rates {
  #samples = new Map();

  of(name, value, now) {
    const samples = (this.#samples.get(name) ?? []).filter(
      (sample) => sample.now > now - span && sample.value <= value,
    );
    samples.push({ now, value });
    this.#samples.set(name, samples);
    const [first] = samples;
    return now > first.now ? ((value - first.value) * 1000) / (now - first.now) : 0;
  }
}

const rates = new Rates();

function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} days`;
}

/** Rows of unfinished chunks of a run that are embedded, as the workers said in their last heartbeats. */
function rowsInProgress({ id }, workers) {
  const steps = workers.flatMap(({ active }) => active).filter(({ key }) => key.startsWith(`${id}/`));
  return steps.reduce((sum, { progress }) => sum + (progress?.rows ?? 0), 0);
}

function runView(run, workers, now) {
  const { id, workflow, state, items, total, stage, error, notice, attempt, startedAt, finishedAt } = run;
  const expected = items?.expected ?? items?.planned ?? 0;
  const inProgress = finishedAt ? 0 : rowsInProgress(run, workers);
  const rows = inProgress > 0 ? (total?.rows ?? 0) + inProgress : total?.rows;
  const rowsPerSecond = rows === undefined ? undefined : rates.of(`${id} ${attempt} rows`, rows, now);
  const itemsPerSecond = items && rates.of(`${id} ${attempt} items`, items.done, now);
  const elapsed = startedAt && ((finishedAt ?? now) - startedAt) / 1000;
  const isRunning = state === 'running';
  const fact = (label, value, style) =>
    value !== undefined && element('span', style ? { class: style } : {}, `${label}: ${value}`);
  const facts = [
    fact('stage', stage),
    fact(
      'items',
      items && `${number(items.done)} of ${items.expected === undefined ? 'at least ' : ''}${number(expected)}`,
    ),
    fact('rows', rows === undefined ? undefined : number(rows)),
    fact('of them in unfinished chunks', inProgress > 0 ? number(inProgress) : undefined),
    fact('rows/s', isRunning && rowsPerSecond !== undefined ? number(rowsPerSecond) : undefined),
    fact('time left', isRunning && items ? duration((expected - items.done) / itemsPerSecond) : undefined),
    fact('took', finishedAt ? duration(elapsed) : undefined),
    fact('failed items', items?.failed ? number(items.failed) : undefined, 'bad'),
    fact('dead letters', total?.rejected ? number(total.rejected) : undefined, 'bad'),
    fact('attempt', attempt > 1 ? attempt : undefined),
  ];
  return element(
    'article',
    { class: 'run', 'data-run': id, 'data-state': state },
    element(
      'div',
      { class: 'title' },
      element('strong', {}, workflow),
      element('code', {}, id),
      element('span', { class: `state ${state}` }, state),
      element('span', { class: 'buttons' }, ...buttons(run)),
    ),
    element('progress', {
      max: Math.max(1, expected),
      value: state === 'completed' ? Math.max(1, expected) : (items?.done ?? 0),
    }),
    element('div', { class: 'facts' }, ...facts.filter(Boolean)),
    notice && element('p', { class: 'error' }, notice),
    error && element('p', { class: 'error' }, error.message),
  );
}

const actionsIn = {
  queued: ['cancel'],
  running: ['pause', 'cancel'],
  paused: ['resume', 'cancel'],
  completed: ['replay'],
  incomplete: ['replay'],
  failed: ['replay'],
  cancelled: ['replay'],
};

function buttons({ id, attempt, state }) {
  return actionsIn[state].map((action) =>
    element(
      'button',
      {
        type: 'button',
        onclick: async () => {
          shown('failed').textContent = await act(`/api/runs/${encodeURIComponent(id)}/${action}?attempt=${attempt}`);
          await refresh();
        },
      },
      action,
    ),
  );
}

/** Asks the worker to do something. Gives the reason when it cannot, else nothing. */
async function act(path) {
  try {
    const reply = await fetch(path, { method: 'POST' });
    return reply.ok ? '' : (await reply.json()).error;
  } catch (error) {
    return `The worker did not answer: ${error.message}`;
  }
}

function workerView({ id, startedAt, models = [], active, concurrency, counts, setAside }, now) {
  // A worker that another program has started counts what that program likes.
  const { rows = 0, tokens = 0, deadLetters = 0, failures = 0 } = counts;
  // On a narrow screen each cell is a line, with its title before it.
  const cell = (title, text) => element('td', { class: 'number', 'data-title': title }, text);
  return element(
    'tr',
    {},
    element(
      'td',
      {},
      element('code', {}, id),
      ...models.map(({ name, fingerprint, error }) =>
        element('div', {}, `${name} ${error ?? fingerprint?.slice(0, 12) ?? 'is being loaded'}`),
      ),
      setAside && element('div', { class: 'error' }, `Set aside: ${setAside}`),
    ),
    cell('Steps', `${active.length} of ${concurrency}`),
    cell('Rows', number(rows)),
    cell('Rows/s', number(rates.of(`${id} rows`, rows, now))),
    cell('Tokens/s', number(rates.of(`${id} tokens`, tokens, now))),
    cell('Dead letters', number(deadLetters)),
    cell('Failures', number(failures)),
    cell('Up for', duration((now - startedAt) / 1000)),
  );
}

function show({ now, queue, steps, runs, workers, refusedJobs }) {
  shown('queue').textContent = queue;
  shown('steps').textContent = `steps: ${steps.active} active, ${steps.waiting} waiting, ${steps.delayed} delayed`;
  if (runs.length > 0) shown('runs').replaceChildren(...runs.map((run) => runView(run, workers, now)));
  shown('workers').replaceChildren(...workers.map((worker) => workerView(worker, now)));
  shown('refused-jobs-section').hidden = refusedJobs.length === 0;
  shown('refused-jobs').replaceChildren(
    ...refusedJobs.map(({ at, queue: from, job, reason }) =>
      element('li', {}, `${new Date(at).toLocaleString()} ${from} ${job}: ${reason}`),
    ),
  );
}

async function refresh() {
  try {
    const reply = await fetch('/api/overview', { signal: AbortSignal.timeout(5000) });
    if (!reply.ok) throw new Error(String(reply.status));
    show(await reply.json());
    shown('lost').hidden = true;
  } catch {
    shown('lost').hidden = false;
  }
}

for (;;) {
  await refresh();
  await new Promise((resolve) => setTimeout(resolve, period));
}
