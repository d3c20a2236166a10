// Prisma's schema engine.
import * as glue from '@prisma/schema-engine-wasm/schema_engine_bg';
// By its path: the package does not export this file.
import binary from '../node_modules/@prisma/schema-engine-wasm/schema_engine_bg.wasm';
import { instantiate } from './wasm.mjs';

export const loadSchemaEngine = () => instantiate(glue, binary, './schema_engine_bg.js');
