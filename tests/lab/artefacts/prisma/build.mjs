// Bundles the engines into two single-file executables: `node build.mjs <folder>`.
import fs from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const target = process.argv[2] ?? 'dist';
const { engineCommit } = JSON.parse(fs.readFileSync(new URL('package.json', import.meta.url), 'utf8'));

for (const name of ['query-engine', 'schema-engine']) {
  const outfile = path.join(target, name);
  await build({
    entryPoints: [new URL(`src/${name}-main.mjs`, import.meta.url).pathname],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node18',
    // One file has to work under any name and path, so it cannot be an ES module, which Node tells by the suffix.
    format: 'cjs',
    loader: { '.wasm': 'binary' },
    external: ['pg-native', 'pg-cloudflare'], // optional parts of pg that are not installed
    define: { DECLARED_COMMIT: JSON.stringify(engineCommit) },
    banner: { js: '#!/usr/bin/env node' },
    legalComments: 'none',
  });
  fs.chmodSync(outfile, 0o755);
}
