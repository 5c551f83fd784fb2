// Checks whether the worker in this container can embed (/healthz) or accepts jobs (/readyz), and exits with 0 if it
// does. It runs in the container, because an HTTP probe from outside could not send the secret token.
const { SENTVEC_PORT: port = '7766', SENTVEC_TOKEN: token } = process.env;
const [, , path = '/readyz'] = process.argv;
try {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers, signal: AbortSignal.timeout(18_000) });
  process.stdout.write(`${answer.status} ${(await answer.text()).slice(0, 500)}\n`);
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  process.stdout.write(`No answer: ${error.cause?.message ?? error.message}\n`);
  process.exitCode = 1;
}
