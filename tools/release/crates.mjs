// The crates that are linked into what is built for a target, as cargo resolves them for that build.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

/** The pinned compiler's version, which is the standard library's too. */
export const rustVersion = () => /^rustc (\S+)/.exec(run('rustc', '--version'))[1];

/**
 * certbound itself and all that is linked into it: name, version, SPDX licence expression, directory of the sources, SHA-256
 * of the archive in the registry (certbound has none), and the ids of the crates that it uses directly.
 */
export function crates(target) {
  const checksums = new Map();
  for (const [, name, version, checksum] of readFileSync(`${root}/Cargo.lock`, 'utf8').matchAll(
    /^name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "([0-9a-f]{64})"$/gm,
  )) checksums.set(`${name}@${version}`, checksum);

  const { packages } = JSON.parse(run('cargo', 'metadata', '--locked', '--format-version', '1'));
  const described = new Map(packages.map((crate) => [`${crate.name}@${crate.version}`, crate]));

  const found = new Map();
  for (const [id, uses] of graph(target)) {
    const { name, version, license, manifest_path: manifest } = described.get(id);
    // Before SPDX, crates wrote a slash for OR.
    found.set(id, { id, name, version, licence: license.replaceAll('/', ' OR '), directory: dirname(manifest), checksum: checksums.get(id), uses });
  }
  return found;
}

// `cargo tree` and not `cargo metadata`, since that one also enables what only tests and other members of the workspace need.
// Procedural macros run in the compiler: neither they nor what they use is linked.
function graph(target) {
  const uses = new Map();
  const path = [];
  const tree = run('cargo', 'tree', '--locked', '--package', 'certbound', '--edges', 'normal,no-proc-macro', '--target', target,
    '--no-dedupe', '--prefix', 'depth', '--format', ' {p}');
  for (const [, depth, name, version] of tree.matchAll(/^(\d+) (\S+) v(\S+)/gm)) {
    const id = `${name}@${version}`;
    if (!uses.has(id)) uses.set(id, new Set());
    if (Number(depth) > 0) uses.get(path[depth - 1]).add(id);
    path[depth] = id;
  }
  return new Map([...uses].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function run(program, ...args) {
  return execFileSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
}
