// A driver adapter: what the WASM query engine calls to reach PostgreSQL.
//
// It mirrors how the native engine talks to the server where that is visible
// from outside: statements are prepared and cached (unless pgbouncer=true),
// parameters of raw queries carry the same explicit types, and a column of an
// unsupported type is an error.
import { columnOf, getTypeParser, typeName } from './types.mjs';

const ok = (value) => ({ ok: true, value, map: (fn) => ok(fn(value)), flatMap: (fn) => fn(value) });
const err = (error) => ({ ok: false, error, map: () => err(error), flatMap: () => err(error) });

const TRANSACTION_CONTROL = /^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET)\b/i;

/** Names statements `s0`, `s1`, ... as the native engine's driver does, up to the cache size. */
class StatementNames {
  constructor(size) {
    this.size = size;
    this.names = new Map();
  }

  of(sql, types) {
    if (TRANSACTION_CONTROL.test(sql)) return undefined;
    const key = types ? `${sql}\0${types.join()}` : sql;
    let name = this.names.get(key);
    if (name === undefined && this.names.size < this.size) {
      name = `s${this.names.size}`;
      this.names.set(key, name);
    }
    return name;
  }
}

class Queryable {
  constructor(shared, connection) {
    this.shared = shared;
    this.connection = connection;
    this.provider = 'postgres';
    this.adapterName = 'node-postgres';
    this.queryRaw = (query) => this.run(query, (result) => {
      const columns = result.fields.map((field) => columnOf(field.dataTypeID));
      const unknown = columns.indexOf(null);
      if (unknown >= 0) {
        return err({ kind: 'UnsupportedNativeDataType', type: typeName(result.fields[unknown].dataTypeID) });
      }
      return ok({
        columnNames: result.fields.map((field) => field.name),
        columnTypes: columns.map((column) => column.code),
        rows: result.rows,
      });
    });
    this.executeRaw = (query) => this.run(query, (result) => ok(result.rowCount ?? 0));
  }

  run({ sql, args }, read) {
    const types = this.shared.pendingRaw.take(sql);
    return this.shared.attempt(async () => read(await this.connection.query({
      text: sql,
      name: this.shared.names.of(sql, types),
      values: args.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value)),
      rowMode: 'array',
      // node-postgres reads the parameter oids and the result parsers from one and the same property
      types: Object.assign(types ?? [], { getTypeParser }),
    })));
  }
}

/** The parameter types of raw queries that are on their way through the engine. */
class PendingRaw {
  constructor() {
    this.bySql = new Map();
  }

  add(sql, types) {
    const waiting = this.bySql.get(sql);
    if (waiting) waiting.push(types);
    else this.bySql.set(sql, [types]);
  }

  take(sql) {
    const waiting = this.bySql.get(sql);
    if (!waiting) return undefined;
    const types = waiting.shift();
    if (waiting.length === 0) this.bySql.delete(sql);
    return types;
  }
}

/** Errors that are not PostgreSQL's own; the engine only carries their number around. */
class Failures {
  constructor() {
    this.next = 0;
    this.errors = new Map();
  }

  add(error) {
    this.errors.set(this.next, error);
    return this.next++;
  }

  take(id) {
    const error = this.errors.get(id);
    this.errors.delete(id);
    return error;
  }
}

class Shared {
  constructor({ statementCacheSize, errorKind = 'Postgres' }) {
    this.names = new StatementNames(statementCacheSize);
    this.pendingRaw = new PendingRaw();
    this.failures = new Failures();
    this.errorKind = errorKind; // the schema engine, a later release, spells it in lower case
  }

  /** The result of `action`, with its failure as a value. */
  async attempt(action) {
    try {
      return await action();
    } catch (error) {
      if (typeof error?.code === 'string' && typeof error?.severity === 'string') {
        const { code, severity, message, detail, column, hint } = error;
        return err({ kind: this.errorKind, code, severity, message, detail, column, hint });
      }
      return err({ kind: 'GenericJs', id: this.failures.add(error) });
    }
  }
}

/** An adapter over a pool; `takeFailure(id)` gives back the error the engine only knows by number. */
export function createAdapter(pool, { schema, ...options }) {
  const shared = new Shared(options);
  let scriptFailure;
  const startTransaction = () => shared.attempt(async () => {
    const client = await pool.connect();
    const release = async () => {
      client.release(client._queryable === false);
      return ok(undefined);
    };
    // The engine sends BEGIN, COMMIT and ROLLBACK itself; this only ends the loan.
    const transaction = new Queryable(shared, client);
    return ok(Object.assign(transaction, { options: { usePhantomQuery: false }, commit: release, rollback: release }));
  });
  return Object.assign(new Queryable(shared, pool), {
    startTransaction,
    getConnectionInfo: () => ok({ schemaName: schema, supportsRelationJoins: false }),
    executeScript: (script) => shared.attempt(async () => {
      try {
        await pool.query(script); // the simple protocol: many statements, as one implicit transaction
      } catch (error) {
        scriptFailure = error;
        throw error;
      }
      return ok(undefined);
    }),
    lastScriptFailure: () => scriptFailure,
    dispose: async () => ok(undefined),
    errorRegistry: { consumeError: (id) => ({ error: shared.failures.take(id) }) },
    takeFailure: (id) => shared.failures.take(id),
    pendingRaw: shared.pendingRaw,
  });
}

/** What the schema engine wants instead of an adapter: something that makes them. */
export function createAdapterFactory(pool, settings) {
  const adapter = createAdapter(pool, { ...settings, statementCacheSize: 0, errorKind: 'postgres' });
  const { provider, adapterName, errorRegistry, takeFailure, lastScriptFailure } = adapter;
  return {
    provider,
    adapterName,
    errorRegistry,
    takeFailure,
    lastScriptFailure,
    connect: async () => ok(adapter),
    connectToShadowDb: async () => err({ kind: 'GenericJs', id: 0 }),
  };
}
