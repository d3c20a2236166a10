// Prisma's query engine.
import * as glue from '@prisma/query-engine-wasm/postgresql/query_engine_bg.js';
import binary from '@prisma/query-engine-wasm/postgresql/query_engine_bg.wasm';
import { instantiate } from './wasm.mjs';

export const loadQueryEngine = () => instantiate(glue, binary, './query_engine_bg.js');
