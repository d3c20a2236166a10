// Instantiates Prisma's engine packages; the .wasm files are bundled into the executable.
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto; // Node 18
globalThis.PRISMA_WASM_PANIC_REGISTRY ??= {
  set_message(message) {
    process.stderr.write(`${JSON.stringify({ is_panic: true, message })}\n`);
  },
};

/** Connects a package's JavaScript half with its WebAssembly half, which its own entry point leaves to a bundler. */
export async function instantiate(glue, binary, importName) {
  const { instance } = await WebAssembly.instantiate(binary, { [importName]: glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start?.();
  return glue;
}
