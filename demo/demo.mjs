// `node demo/demo.mjs` starts the authorization server and Envoy, tells the story of mutual-TLS client authentication
// with real clients, and exits 0 only if all of it happened. `node demo/demo.mjs --serve` leaves both serving.

import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { verdicts } from './narrator.mjs';

const NEEDED = ['demo/node_modules/.package-lock.json', 'build/venv/bin/envoy', 'build/certbound.wasm', 'build/pki/pki.json'];
const STORY_SECONDS = 180;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(128 + constants.signals[signal]));

for (const path of NEEDED) {
  if (!existsSync(path)) stop(`${path} is missing: run \`make ${path}\` first`);
}
const { CannotStart, startDeployment } = await import('./deployment.mjs');
const { printCommands, tellStory } = await import('./story.mjs');

try {
  await startDeployment();
} catch (error) {
  if (!(error instanceof CannotStart)) throw error;
  stop(error.message);
}

if (process.argv.includes('--serve')) {
  printCommands();
} else {
  setTimeout(() => stop(`the story is not over after ${STORY_SECONDS} seconds`), STORY_SECONDS * 1000).unref();
  await tellStory();
  process.exit(conclude());
}

function stop(message) {
  console.error(message);
  process.exit(1);
}

function conclude() {
  const failed = verdicts.filter(({ isTrue }) => !isTrue);
  if (failed.length === 0) {
    console.log(`\nAll ${verdicts.length} things happened as they should.`);
    return 0;
  }
  console.log(`\n${failed.length} of ${verdicts.length} did not happen; the logs are in build/log/:`);
  failed.forEach(({ sentence }) => console.log(`  ${sentence}`));
  return 1;
}
