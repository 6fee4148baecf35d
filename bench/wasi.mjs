// Runs a wasm32-wasip1 program in V8: `node bench/wasi.mjs PROGRAM`.
import { readFileSync } from 'node:fs';
import { argv } from 'node:process';
import { WASI } from 'node:wasi';

const wasi = new WASI({ version: 'preview1', args: argv.slice(2) });
// The library for wasm32 has the filter in it, which imports Envoy's functions; the program calls none of them.
const env = new Proxy({}, { get: () => () => 1 });
const module = await WebAssembly.compile(readFileSync(argv[2]));
wasi.start(await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env }));
