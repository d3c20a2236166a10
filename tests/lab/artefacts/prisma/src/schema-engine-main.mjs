// Stands in for Prisma's native `schema-engine` executable. See README.md.
import fs from 'node:fs';
import readline from 'node:readline';
import { openPool, StartupError } from './pool.mjs';
import { SchemaEngineService } from './schema-engine.mjs';
import { connectionSettings } from './url.mjs';

process.title = 'schema-engine';

const values = (...names) => process.argv.flatMap((argument, at) => (names.includes(argument) ? [process.argv[at + 1]] : []));

function log(level, fields) {
  process.stderr.write(`${JSON.stringify({ timestamp: new Date().toISOString(), level, fields, target: 'schema_engine::logger' })}\n`);
}

/** `schema-engine cli --datasource <url> can-connect-to-database | create-database | drop-database` */
async function cli() {
  log('INFO', { message: 'Starting schema engine CLI' }); // the caller skips the first line
  const settings = connectionSettings(values('--datasource', '-d')[0]);
  const command = process.argv.at(-1);
  const { database } = settings.pool;
  try {
    if (command === 'can-connect-to-database') {
      await openPool(settings);
      log('INFO', { message: 'Connection successful' });
    } else if (command === 'create-database' || command === 'drop-database') {
      const pool = await openPool({ ...settings, pool: { ...settings.pool, database: 'postgres' } });
      const name = `"${database.replaceAll('"', '""')}"`;
      await pool.query(command === 'create-database' ? `CREATE DATABASE ${name}` : `DROP DATABASE ${name} WITH (FORCE)`);
      log('INFO', { message: `Successfully ${command === 'create-database' ? 'created' : 'dropped'} database '${database}'` });
    } else {
      throw new Error(`Unsupported command '${command}'`);
    }
    process.exit(0);
  } catch (error) {
    log('ERROR', error instanceof StartupError ? error.payload : { is_panic: false, message: error.message });
    process.exit(1);
  }
}

async function main() {
  if (process.argv.includes('--version') || process.argv.includes('-V')) {
    console.log(`schema-engine-cli ${DECLARED_COMMIT}`);
    return;
  }
  if (process.argv[2] === 'cli') return cli();
  const files = values('-d', '--datamodel', '--datamodels');
  const schema = files.length ? files.map((file) => fs.readFileSync(file, 'utf8')).join('\n') : null;
  const service = new SchemaEngineService(schema, process.env, (message) => process.stdout.write(`${JSON.stringify(message)}\n`));
  // The client kills the engine, or closes its stdin, when it is done.
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    if (line.trim()) service.handle(JSON.parse(line));
  }).on('close', () => process.exit(0));
}

main().catch((error) => {
  log('ERROR', { message: String(error?.stack ?? error), is_panic: false });
  process.exit(1);
});
