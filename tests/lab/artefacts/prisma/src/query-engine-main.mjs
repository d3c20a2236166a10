// Stands in for Prisma's native `query-engine` executable. See README.md.
import fs from 'node:fs';
import path from 'node:path';
import { QueryEngineService } from './engine.mjs';
import { StartupError } from './pool.mjs';
import { listen } from './server.mjs';

process.title = 'query-engine'; // what supervisors look for in /proc/<pid>/comm

function option(...names) {
  const at = process.argv.findIndex((argument) => names.includes(argument));
  return at < 0 ? undefined : process.argv[at + 1];
}

/**
 * Whether the client is of the generation (prisma-client-py before 0.14) that
 * takes raw results as rows of typed values, and not as columns, types, rows.
 * The client generates its schema into its own package, next to its code.
 */
function rawAsRows() {
  const decoder = path.join(path.dirname(process.env.PRISMA_DML_PATH), '_raw_query.py');
  return fs.existsSync(decoder) && !fs.readFileSync(decoder, 'utf8').includes("['columns']");
}

async function main() {
  if (process.argv.includes('--version') || process.argv.includes('-V')) {
    console.log(`query-engine ${DECLARED_COMMIT}`);
    return;
  }
  const schema = fs.readFileSync(process.env.PRISMA_DML_PATH, 'utf8');
  const log = (line) => process.stderr.write(`${line}\n`);
  let service;
  try {
    service = await QueryEngineService.start(schema, process.env, { log, rawAsRows: rawAsRows() });
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    process.stderr.write(`${JSON.stringify(error.payload)}\n`);
    process.exit(1);
  }
  await listen(service, option('-H', '--host') || '127.0.0.1', Number(option('-p', '--port') || process.env.PORT || 4466));
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => service.stop().finally(() => process.exit(0)));
  }
}

main().catch((error) => {
  process.stderr.write(`query-engine: ${error?.stack ?? error}\n`);
  process.exit(1);
});
