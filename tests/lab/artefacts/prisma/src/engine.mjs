// Loads the official WASM query engine and connects it to PostgreSQL.
import { createAdapter } from './adapter.mjs';
import { openPool } from './pool.mjs';
import { classify, userFacing } from './errors.mjs';
import { translateRequest } from './graphql.mjs';
import { translateResponse } from './results.mjs';
import { parseModels } from './schema.mjs';
import { rawParameterTypes } from './types.mjs';
import { connectionSettings, datasourceUrl } from './url.mjs';
import { loadQueryEngine } from './query-wasm.mjs';

const TRACE = '{}';

export class QueryEngineService {
  /** Connects, or throws a StartupError; the native engine, too, connects before it listens. */
  static async start(schema, env, { log, rawAsRows }) {
    const settings = connectionSettings(datasourceUrl(schema, env));
    const [glue, pool] = await Promise.all([loadQueryEngine(), openPool(settings)]);
    const adapter = createAdapter(pool, settings);
    const engine = new glue.QueryEngine(
      { datamodel: schema, logLevel: 'error', logQueries: false }, log, adapter,
    );
    await engine.connect(TRACE);
    return new QueryEngineService({
      engine, adapter, pool, settings, rawAsRows, models: parseModels(schema), build: glue.getBuildTimeInfo(),
    });
  }

  constructor(parts) {
    Object.assign(this, parts);
  }

  async query(request, transactionId) {
    const body = translateRequest(request, this.models, (sql, parameters) => {
      this.adapter.pendingRaw.add(sql, rawParameterTypes(parameters));
    });
    const response = JSON.parse(await this.engine.query(body, TRACE, transactionId));
    for (const item of [response, ...(response.batchResult ?? [])]) {
      if (item.errors) item.errors = item.errors.map((error) => this.describe(error));
    }
    return translateResponse(response, this);
  }

  /** Replaces the engine's "error in external connector (id N)" by what the driver reported. */
  describe(error) {
    const reported = error.user_facing_error;
    if (reported?.error_code !== 'P2036') return error;
    const cause = this.adapter.takeFailure(reported.meta?.id);
    const known = classify(cause, this.settings);
    if (!known) return { ...error, error: String(cause?.stack ?? cause), user_facing_error: { ...reported, message: String(cause?.message ?? cause) } };
    return { error: known.message, user_facing_error: userFacing(known) };
  }

  /** Runs one of the transaction calls; a failure has the HTTP status the native engine gives it. */
  async transaction(verb, argument) {
    const result = JSON.parse(await (verb === 'start'
      ? this.startTransaction(argument)
      : this.engine[`${verb}Transaction`](argument, TRACE)));
    if (!result?.error_code) return { status: 200, body: verb === 'start' ? result : {} };
    if (result.error_code === 'P2036') {
      const known = classify(this.adapter.takeFailure(result.meta?.id), this.settings);
      return { status: 500, body: known ? userFacing(known) : result };
    }
    const text = String(result.meta?.error ?? result.message);
    const status = /not found/i.test(text) ? 404
      : /unable to start a transaction in the given time/i.test(text) ? 504
      : /already closed|timeout|expired/i.test(text) ? 422
      : 500;
    return { status, body: result };
  }

  /** The engine leaves the wait for a connection to the pool, so the limit for it is kept here. */
  async startTransaction(input) {
    const started = this.engine.startTransaction(input, TRACE);
    const { max_wait: limit } = JSON.parse(input);
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, limit, null); });
    const result = await Promise.race([started, late]);
    clearTimeout(timer);
    if (result !== null) return result;
    started.then((text) => this.engine.rollbackTransaction(JSON.parse(text).id, TRACE)).catch(() => {});
    return JSON.stringify({
      is_panic: false,
      message: 'Transaction API error: Unable to start a transaction in the given time.',
      meta: { error: 'Unable to start a transaction in the given time.' },
      error_code: 'P2028',
    });
  }

  /** Pool gauges under the names the native engine uses. */
  metrics() {
    const { totalCount, idleCount, waitingCount } = this.pool;
    const gauge = (key, value, description) => ({ key, labels: {}, value, description });
    return {
      counters: [],
      histograms: [],
      gauges: [
        gauge('prisma_pool_connections_busy', totalCount - idleCount, 'Number of currently busy Pool Connections'),
        gauge('prisma_pool_connections_idle', idleCount, 'Number of currently unused Pool Connections'),
        gauge('prisma_pool_connections_open', totalCount, 'Number of currently open Pool Connections'),
        gauge('prisma_client_queries_wait', waitingCount, 'Number of queries waiting for a connection'),
      ],
    };
  }

  async stop() {
    await Promise.race([this.pool.end(), new Promise((done) => setTimeout(done, 2000).unref())]);
  }
}
