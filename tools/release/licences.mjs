// Writes the licences of all crates that are linked for the given targets: node tools/release/licences.mjs TARGET… > FILE
//
// The texts are those that the crates bring along, with their copyright lines. Which licences are allowed, deny.toml says.
import { readdirSync, readFileSync } from 'node:fs';
import { crates } from './crates.mjs';

const linked = new Map(process.argv.slice(2).flatMap((target) => [...crates(target)]));
const holders = new Map();
for (const { id, name, directory } of linked.values()) {
  const files = readdirSync(directory).filter((file) => /^(un)?licen[cs]e|^copy(ing|right)|^notice/i.test(file)).sort();
  if (files.length === 0) throw new Error(`${id} brings no licence text along`);
  for (const file of files) {
    const text = readFileSync(`${directory}/${file}`, 'utf8').replaceAll('\r\n', '\n').trim();
    holders.set(text, new Set(holders.get(text)).add(name));
  }
}

const line = '='.repeat(100);
const list = [...linked.values()].map(({ name, version, licence }) => `${name} ${version}: ${licence}`).sort();
const texts = [...holders].map(([text, names]) => [[...names].sort().join(', '), text]).sort();
process.stdout.write(`What certbound is made of, and under which licences. OR is at your option; we take any of them.

Besides, there are in it Rust's standard library (MIT OR Apache-2.0; see RUST-COPYRIGHT.html), and the C libraries that come
with Rust's targets: wasi-libc (https://github.com/WebAssembly/wasi-libc) in the module, musl (https://musl.libc.org, MIT) in the
command line.

${list.join('\n')}
${texts.map(([names, text]) => `\n${line}\n${names}\n${line}\n\n${text}\n`).join('')}`);
