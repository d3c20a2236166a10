// Runs both bundled executables against a database of its own; needs TEST_DATABASE_URL,
// whose user may create databases, and `npm run build`.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import test, { after, before } from 'node:test';

const { TEST_DATABASE_URL } = process.env;
const options = { skip: TEST_DATABASE_URL ? false : 'TEST_DATABASE_URL is not set' };
const bin = (name) => path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..', 'dist', name);
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wasm-engines-'));
const migrations = path.join(directory, 'migrations');
const schemaFile = path.join(directory, 'schema.prisma');
const schema = `datasource client {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Item {
  id    String   @id
  spend Float    @default(0)
  limit BigInt?
  meta  Json     @default("{}")
  tags  String[]
  at    DateTime @default(now())
}
`;
const migration = (name, sql) => {
  fs.mkdirSync(path.join(migrations, name), { recursive: true });
  fs.writeFileSync(path.join(migrations, name, 'migration.sql'), sql);
};

const url = TEST_DATABASE_URL && new URL(TEST_DATABASE_URL);
if (url) {
  url.pathname = `/wasm_engines_${process.pid}`;
  url.searchParams.set('connection_limit', '2');
  url.searchParams.set('pool_timeout', '1');
}
const env = { ...process.env, DATABASE_URL: String(url), PRISMA_DML_PATH: schemaFile };

function run(name, ...args) {
  return new Promise((resolve) => {
    const child = spawn(bin(name), args, { env });
    let output = '';
    child.stdout.on('data', (data) => { output += data; });
    child.stderr.on('data', (data) => { output += data; });
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** Calls of the schema engine; `print` requests are collected, and answered. */
async function schemaEngine(...calls) {
  const child = spawn(bin('schema-engine'), ['-d', schemaFile], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map();
  const printed = [];
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line);
    if (message.method === 'print') {
      printed.push(message.params.content);
      child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, result: {} })}\n`);
    } else waiting.get(message.id)(message);
  });
  const answers = [];
  for (const [id, [method, params]] of calls.entries()) {
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    answers.push(await new Promise((resolve) => waiting.set(id, resolve)));
  }
  child.stdin.end();
  return { answers, printed };
}

let engine;
let base;

before(async () => {
  if (options.skip) return;
  fs.writeFileSync(schemaFile, schema);
  migration('0001_init', `CREATE TABLE "Item" ("id" TEXT PRIMARY KEY, "spend" DOUBLE PRECISION NOT NULL DEFAULT 0, "limit" BIGINT,
    "meta" JSONB NOT NULL DEFAULT '{}', "tags" TEXT[], "at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP);
    CREATE FUNCTION one() RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql;`);
  const created = await run('schema-engine', 'cli', '--datasource', String(url), 'create-database');
  assert.equal(created.code, 0, created.output);
  const { answers: [applied] } = await schemaEngine(['applyMigrations', { migrationsDirectoryPath: migrations }]);
  assert.deepEqual(applied.result, { appliedMigrationNames: ['0001_init'] });
  const port = await new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = probe.address();
      probe.close(() => resolve(free));
    });
  });
  base = `http://127.0.0.1:${port}`;
  engine = spawn(bin('query-engine'), ['-p', String(port), '--enable-raw-queries'], { env, stdio: 'inherit' });
  for (let tries = 0; tries < 100; tries++) {
    if (await fetch(`${base}/status`).then((response) => response.ok, () => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail('the query engine did not start');
});

after(async () => {
  if (engine) {
    const gone = new Promise((resolve) => engine.on('exit', resolve));
    engine.kill('SIGTERM');
    assert.equal(await gone, 0);
    assert.equal((await run('schema-engine', 'cli', '--datasource', String(url), 'drop-database')).code, 0);
  }
  fs.rmSync(directory, { recursive: true });
});

async function post(body, route = '/', transaction = undefined) {
  const headers = transaction ? { 'X-transaction-id': transaction } : {};
  const response = await fetch(base + route, { method: 'POST', body: JSON.stringify(body), headers });
  return { status: response.status, ...await response.json() };
}
const graphql = (query, transaction) => post({ query, variables: {} }, '/', transaction);
const raw = (sql, ...parameters) => graphql(
  `mutation { result: queryRaw ( query: ${JSON.stringify(sql)} parameters: ${JSON.stringify(JSON.stringify(parameters))} ) }`,
);
const fields = '{ id spend limit meta tags at }';
const create = (id, rest = '') => `mutation { result: createOneItem ( data: { id: "${id}" ${rest} } ) ${fields} }`;
const count = async () => (await graphql('query { result: aggregateItem { _count { _all } } }')).data.result._count._all;

test('create, read, update, unique violation', options, async () => {
  const { data: { result } } = await graphql(create('a', 'limit: 9007199254740993 meta: "{\\"k\\": [1, \\"x\\"]}" tags: ["t", "u"] at: "2024-01-01T10:00:00+00:00"'));
  assert.deepEqual({ ...result, meta: JSON.parse(result.meta) }, {
    id: 'a', spend: 0, limit: '9007199254740993', meta: { k: [1, 'x'] }, tags: ['t', 'u'], at: '2024-01-01T10:00:00.000Z',
  });
  const updated = await graphql(`mutation { result: updateOneItem ( where: { id: "a" } data: { spend: { increment: 0.5 } } ) ${fields} }`);
  assert.equal(updated.data.result.spend, 0.5);
  const { errors: [duplicate] } = await graphql(create('a'));
  assert.equal(duplicate.user_facing_error.error_code, 'P2002');
  assert.equal((await graphql(`query { result: findUniqueItem ( where: { id: "none" } ) ${fields} }`)).data.result, null);
});

test('raw queries', options, async () => {
  const { data: { result } } = await raw('SELECT $1 AS n, $2 AS s, $3::float8 AS f, now()::timestamptz AS t, array[1, 2] AS a, jsonb_build_object(\'k\', $4) AS j, \'x\'::name AS name', 7, 'é', 1.0, true);
  assert.deepEqual(result.types, ['bigint', 'string', 'double', 'datetime', 'int-array', 'json', 'string']);
  assert.deepEqual(result.rows[0].filter((_, at) => at !== 3), ['7', 'é', 1, [1, 2], { k: true }, 'x']);
  const { errors: [missing] } = await raw('SELECT * FROM nowhere');
  assert.deepEqual([missing.user_facing_error.error_code, missing.user_facing_error.meta.code], ['P2010', '42P01']);
  const { errors: [nothing] } = await raw('SELECT pg_sleep(0)');
  assert.match(nothing.user_facing_error.message, /column of type 'void'/);
});

test('a failing batch leaves nothing behind', options, async () => {
  const items = [create('b'), create('c'), create('b')].map((query) => ({ query, variables: {} }));
  const before = await count();
  assert.equal((await post({ batch: items, transaction: true })).errors[0].user_facing_error.error_code, 'P2002');
  assert.equal(await count(), before);
});

test('interactive transactions', options, async () => {
  const { id } = await post({ timeout: 5000, max_wait: 500 }, '/transaction/start');
  await graphql(create('d'), id);
  const outside = await count();
  assert.equal((await post({}, `/transaction/${id}/commit`)).status, 200);
  assert.equal(await count(), outside + 1);
  const short = await post({ timeout: 50, max_wait: 500 }, '/transaction/start');
  await new Promise((resolve) => setTimeout(resolve, 150));
  const { errors: [expired] } = await graphql(create('e'), short.id);
  assert.equal(expired.user_facing_error.error_code, 'P2028');
});

test('an exhausted pool', options, async () => {
  const holders = await Promise.all([1, 2].map(() => post({ timeout: 5000, max_wait: 500 }, '/transaction/start')));
  assert.equal((await post({ timeout: 5000, max_wait: 100 }, '/transaction/start')).status, 504);
  const { errors: [timeout] } = await graphql('query { result: aggregateItem { _count { _all } } }');
  assert.equal(timeout.user_facing_error.error_code, 'P2024');
  const { gauges } = await (await fetch(`${base}/metrics?format=json`)).json();
  assert.equal(gauges.find(({ key }) => key === 'prisma_pool_connections_open').value, 2);
  await Promise.all(holders.map(({ id }) => post({}, `/transaction/${id}/rollback`)));
  assert.equal((await raw('SELECT 1 AS x')).data.result.rows.length, 1);
});

test('a malformed query is refused', options, async () => {
  assert.equal((await graphql('query { result: nonsense }')).errors[0].user_facing_error.error_code, 'P2009');
});

test('migrations: diff, failure, resolution', options, async () => {
  const files = [{ path: schemaFile, content: schema.replace('tags ', 'note  String?\n  tags ') }];
  const diff = await schemaEngine(['diff', { from: { tag: 'url', url: String(url) }, to: { tag: 'schemaDatamodel', files }, script: true, exitCode: null }]);
  assert.match(diff.printed.join(''), /ADD COLUMN +"note" TEXT/);

  migration('0002_bad', 'CREATE TABLE "Other" (a int); SELECT * FROM nowhere;');
  const apply = ['applyMigrations', { migrationsDirectoryPath: migrations }];
  const { answers } = await schemaEngine(apply, apply, ['markMigrationRolledBack', { migrationName: '0002_bad' }], apply);
  assert.deepEqual(answers.map(({ error }) => error?.data.error_code), ['P3018', 'P3009', undefined, 'P3018']);
  assert.match(answers[0].error.data.message, /Migration name: 0002_bad\n\nDatabase error code: 42P01/);
});

test('the schema engine reports why it cannot connect', options, async () => {
  const elsewhere = new URL(url);
  elsewhere.pathname = '/wasm_engines_missing';
  const { code, output } = await run('schema-engine', 'cli', '--datasource', String(elsewhere), 'can-connect-to-database');
  assert.equal(code, 1);
  assert.match(output, /"error_code":"P1003"/);
});
