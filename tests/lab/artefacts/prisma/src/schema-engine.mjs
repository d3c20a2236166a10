// The schema engine's JSON-RPC interface (one message per line on stdin and
// stdout) in front of the official WASM schema engine.
//
// The npm registry has that engine only from release 6.6 on. The 5.x CLI names
// directories and URLs where the 6.x engine wants their contents; `METHODS`
// holds, for each call, the difference.
import fs from 'node:fs';
import path from 'node:path';
import { createAdapterFactory } from './adapter.mjs';
import { classify } from './errors.mjs';
import { openPool } from './pool.mjs';
import { connectionSettings, datasourceUrl } from './url.mjs';
import { loadSchemaEngine } from './schema-wasm.mjs';

const MIGRATION_FILE = 'migration.sql';
const LOCK_FILE = 'migration_lock.toml';
const filters = { externalTables: [], externalEnums: [] };

function migrationNames(directory) {
  if (!fs.existsSync(directory)) return [];
  return fs.readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort((a, b) => (a < b ? -1 : 1));
}

function readOr(file, fallback) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return fallback;
  }
}

function migrationsList(directory) {
  return {
    baseDir: directory,
    lockfile: { path: LOCK_FILE, content: readOr(path.join(directory, LOCK_FILE), null) },
    shadowDbInitScript: '',
    migrationDirectories: migrationNames(directory).map((name) => {
      const content = readOr(path.join(directory, name, MIGRATION_FILE), null);
      return {
        path: name,
        migrationFile: {
          path: MIGRATION_FILE,
          content: content === null ? { tag: 'error', value: `Could not read ${name}/${MIGRATION_FILE}` } : { tag: 'ok', value: content },
        },
      };
    }),
  };
}

/** A database target: the 6.x engine has one connection, its own. */
const ownDatabase = { tag: 'schemaDatasource', files: [{ path: 'schema.prisma', content: 'datasource db {\n  provider = "postgresql"\n  url = "postgresql://own"\n}\n' }], configDir: process.cwd() };

/** Schema files; before 5.14 the CLI names the one file, later it sends the contents. */
const schemaFiles = ({ files, schema: file, path: named }) => files ?? [{ path: file ?? named, content: fs.readFileSync(file ?? named, 'utf8') }];

function diffTarget(target) {
  if (target.tag === 'url' || target.tag === 'schemaDatasource') return ownDatabase;
  if (target.tag === 'migrations') return { tag: 'migrations', ...migrationsList(target.path) };
  if (target.tag === 'schemaDatamodel') return { tag: 'schemaDatamodel', files: schemaFiles(target) };
  return target;
}

const METHODS = {
  listMigrationDirectories: (_, { migrationsDirectoryPath }) => ({ migrations: migrationNames(migrationsDirectoryPath) }),
  applyMigrations: (engine, { migrationsDirectoryPath }) => engine.applyMigrations({ migrationsList: migrationsList(migrationsDirectoryPath), filters }),
  markMigrationApplied: async (engine, { migrationName, migrationsDirectoryPath }) => {
    await engine.markMigrationApplied({ migrationName, migrationsList: migrationsList(migrationsDirectoryPath) });
    return {};
  },
  markMigrationRolledBack: async (engine, { migrationName }) => {
    await engine.markMigrationRolledBack({ migrationName });
    return {};
  },
  diagnoseMigrationHistory: async (engine, { migrationsDirectoryPath, optInToShadowDatabase }) => ({
    errorInUnappliedMigration: null,
    drift: null,
    ...await engine.diagnoseMigrationHistory({ migrationsList: migrationsList(migrationsDirectoryPath), optInToShadowDatabase, filters }),
  }),
  diff: async (engine, { from, to, script, exitCode = null }, print) => {
    const result = await engine.diff({ from: diffTarget(from), to: diffTarget(to), script, exitCode, shadowDatabaseUrl: null, filters });
    if (result.stdout !== null) await print(result.stdout);
    return { exitCode: result.exitCode, stdout: null };
  },
  dbExecute: async (engine, { script }) => {
    await engine.dbExecute({ datasourceType: { tag: 'url', url: 'own' }, script });
    return {};
  },
  schemaPush: (engine, { force, schema }) => engine.schemaPush({
    force, schema: typeof schema === 'string' ? { files: [{ path: 'schema.prisma', content: schema }] } : schema, filters,
  }),
  reset: async (engine) => {
    await engine.reset({ filter: filters });
    return {};
  },
  getDatabaseVersion: (engine) => engine.version(null),
  ensureConnectionValidity: async () => ({}),
};

/** The URL a call is about: one it carries, or that of a schema it carries, or that of the command line's. */
function targetUrl(params, commandLineSchema, env) {
  const candidates = [params?.from, params?.to, params?.datasourceType, params?.datasource].filter(Boolean);
  const withUrl = candidates.find((candidate) => candidate.url);
  if (withUrl) return withUrl.url;
  const withSchema = candidates.find((candidate) => /^schema(Datasource|Path)?$/i.test(candidate.tag));
  const schema = withSchema ? schemaFiles(withSchema).map((file) => file.content).join('\n') : commandLineSchema;
  return schema ? datasourceUrl(schema, env) : null;
}

/** The error of a migration script, which the WASM build reports without its code. */
function migrationFailure(error, cause) {
  const failed = /apply_script\n\s+with migration_name="([^"]+)"/.exec(error.message);
  if (!failed || !cause) return null;
  const [, name] = failed;
  const detail = [`${cause.severity}: ${cause.message}`, cause.detail && `DETAIL: ${cause.detail}`, cause.hint && `HINT: ${cause.hint}`];
  const description = detail.filter(Boolean).join('\n');
  return {
    error_code: 'P3018',
    message:
      'A migration failed to apply. New migrations cannot be applied before the error is recovered from. ' +
      'Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve\n\n' +
      `Migration name: ${name}\n\nDatabase error code: ${cause.code}\n\nDatabase error:\n${description}\n`,
    meta: { migration_name: name, database_error_code: cause.code, database_error: description },
  };
}

function errorData(error, factory, settings) {
  if (error.payload) return error.payload; // the connection could not be opened
  if (/^P\d{4}$/.test(error.code)) {
    return { is_panic: false, message: error.message, meta: error.meta ?? null, error_code: error.code };
  }
  const external = /external connector \(id (\d+)\)/.exec(error.message);
  const known = migrationFailure(error, factory?.lastScriptFailure()) ??
    (external && classify(factory?.takeFailure(Number(external[1])), settings));
  return known ? { is_panic: false, ...known } : { is_panic: false, message: error.message, backtrace: null };
}

const rpcError = (data) => ({ code: 4466, message: 'An error happened. Check the data field for details.', data });

export class SchemaEngineService {
  constructor(schema, env, write) {
    Object.assign(this, { schema, env, write, nextCall: 1, answers: new Map(), connections: new Map() });
  }

  /** Asks the client to print, and waits until it did. */
  print(content) {
    const id = `print-${this.nextCall++}`;
    this.write({ jsonrpc: '2.0', id, method: 'print', params: { content } });
    return new Promise((resolve) => this.answers.set(id, resolve));
  }

  connection(url) {
    if (!this.connections.has(url)) this.connections.set(url, this.connect(url));
    return this.connections.get(url);
  }

  async connect(url) {
    const settings = url === null ? null : connectionSettings(url);
    // One connection: advisory locks and session settings have to stay on it.
    const pool = settings && await openPool({ ...settings, pool: { ...settings.pool, max: 1 } });
    const factory = createAdapterFactory(pool, settings ?? { schema: 'public' });
    const glue = await loadSchemaEngine();
    const engine = await glue.SchemaEngine.new({ datamodels: this.schema ? [['schema.prisma', this.schema]] : undefined }, () => {}, factory);
    return { engine, factory, settings, pool };
  }

  async handle(message) {
    if (message.method === undefined) {
      this.answers.get(message.id)?.();
      this.answers.delete(message.id);
      return;
    }
    const { id, method, params } = message;
    let connection;
    try {
      const call = METHODS[method];
      if (!call) throw new Error(`The method '${method}' is not supported by this schema engine`);
      connection = await this.connection(targetUrl(params, this.schema, this.env));
      this.write({ jsonrpc: '2.0', id, result: await call(connection.engine, params, (content) => this.print(content)) });
    } catch (error) {
      this.write({ jsonrpc: '2.0', id, error: rpcError(errorData(error, connection?.factory, connection?.settings)) });
    }
  }
}
