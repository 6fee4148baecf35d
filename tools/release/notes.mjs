// Writes what CHANGELOG.md says of the version that a tag names, and fails if Cargo.toml or CHANGELOG.md disagree:
// node tools/release/notes.mjs vX.Y.Z
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { root } from './crates.mjs';

export const version = (manifest) => /^version = "(.+)"$/m.exec(manifest)[1];

export function notes(tag, manifest, changelog) {
  const ours = version(manifest);
  if (tag !== `v${ours}`) throw new Error(`the tag is ${tag}, Cargo.toml has the version ${ours}`);
  const [section] = changelog.split(/^(?=## )/m).filter((section) => section.startsWith(`## [${ours}]`));
  const [heading, ...lines] = (section ?? '').split('\n');
  const text = lines.join('\n').trim();
  if (!/^## \[[^\]]+\] - \d{4}-\d\d-\d\d$/.test(heading) || text === '') {
    throw new Error(`CHANGELOG.md needs a section "## [${ours}] - YYYY-MM-DD" that says what changes`);
  }
  return text;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const read = (file) => readFileSync(`${root}/${file}`, 'utf8');
  console.log(notes(process.argv[2], read('Cargo.toml'), read('CHANGELOG.md')));
}
