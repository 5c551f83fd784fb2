// Asks the worker of this container whether it can embed (/healthz) or takes jobs (/readyz). Ends with 0 when it does. A
// probe from outside could not send the token, which is a secret.
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
