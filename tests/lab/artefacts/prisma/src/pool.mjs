// The connection pool of an engine.
import pg from 'pg';
import { classify, userFacing } from './errors.mjs';

export class StartupError extends Error {
  constructor(payload) {
    super(payload.message);
    this.payload = payload;
  }
}

/** A pool with one connection open, or a StartupError. */
export async function openPool(settings) {
  const open = (ssl) => {
    const pool = new pg.Pool({ ...settings.pool, ssl });
    pool.on('error', () => {}); // an idle connection went away; the next checkout opens a new one
    pool.on('connect', (client) => {
      client.on('error', () => {});
      if (settings.schema !== 'public') {
        client.query(`SET search_path = "${settings.schema.replaceAll('"', '""')}"`).catch(() => {});
      }
    });
    return pool;
  };
  const attempts = settings.sslOptional ? [settings.pool.ssl, false] : [settings.pool.ssl];
  for (const [index, ssl] of attempts.entries()) {
    const pool = open(ssl);
    try {
      (await pool.connect()).release();
      return pool;
    } catch (error) {
      await pool.end().catch(() => {});
      const plainServer = /does not support SSL/.test(error.message) && index + 1 < attempts.length;
      if (plainServer) continue;
      const known = classify(error, settings);
      throw new StartupError(known ? userFacing(known) : { is_panic: false, message: error.message, backtrace: null });
    }
  }
  throw new Error('unreachable');
}
