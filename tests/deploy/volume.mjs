// A directory as the kubelet writes it for a ConfigMap or Secret: each file is a symbolic link through `..data`, itself a
// link to the current version of them all, which is replaced at once. Whoever watches sees only that one move.
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

let versions = 0;

function writeVersion(path, files) {
  versions += 1;
  const version = `..version_${versions}`;
  mkdirSync(join(path, version));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, version, name), content, { mode: 0o600 });
  return version;
}

/** Makes a volume with these files. */
export function mount(path, files) {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  symlinkSync(writeVersion(path, files), join(path, '..data'));
  for (const name of Object.keys(files)) symlinkSync(join('..data', name), join(path, name));
}

/** Replaces the files of a volume by others of the same names. */
export function update(path, files) {
  const old = readlinkSync(join(path, '..data'));
  symlinkSync(writeVersion(path, files), join(path, '..data_tmp'));
  renameSync(join(path, '..data_tmp'), join(path, '..data'));
  rmSync(join(path, old), { recursive: true });
}

/** Puts one file, which exists, where a volume would have it. */
export function mountFile(path, source) {
  rmSync(path, { force: true });
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(source, path);
}
