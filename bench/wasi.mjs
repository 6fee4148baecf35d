// Runs a wasm32-wasip1 program in V8: `node bench/wasi.mjs PROGRAM`.
import { readFileSync } from 'node:fs';
import { argv } from 'node:process';
import { WASI } from 'node:wasi';

const wasi = new WASI({ version: 'preview1', args: argv.slice(2) });
// The library for wasm32 has the filter in it, which imports Envoy's functions and exports its own; the program needs
// none of them.
const env = new Proxy({}, { get: () => () => 1 });
const module = await WebAssembly.compile(readFileSync(argv[2]));
const { exports } = await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env });
wasi.start({ exports: { memory: exports.memory, _start: exports._start } });
