// The files of deploy/ and what they hold.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../envoy/envoy.mjs';

required('tests/deploy/node_modules/.package-lock.json');
const { parseAllDocuments } = await import('yaml');

/** The YAML files of deploy/, by their paths in the repository. */
export const recipes = readdirSync(join(root, 'deploy'), { recursive: true })
  .filter((path) => path.endsWith('.yaml'))
  .map((path) => join('deploy', path))
  .sort();

/** The documents of a YAML file, read by a text that `adapt` may change first. A key that is there twice is an error. */
export function documents(path, adapt = (text) => text) {
  return parseAllDocuments(adapt(readFileSync(join(root, path), 'utf8')), { uniqueKeys: true, merge: true }).map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) throw new Error(`${path}: ${problem.message}`);
    return document.toJS();
  });
}

/** The only document of a file. */
export function document(path, adapt) {
  const [only, ...others] = documents(path, adapt);
  if (others.length > 0) throw new Error(`${path} has ${others.length + 1} documents`);
  return only;
}

/** An object of a kind in a file, and of a name if there are several. */
export function object(path, kind, name, adapt) {
  const found = documents(path, adapt).filter((each) => each.kind === kind && (!name || each.metadata.name === name));
  if (found.length !== 1) throw new Error(`${path} has ${found.length} objects ${kind} ${name ?? ''}`);
  return found[0];
}
