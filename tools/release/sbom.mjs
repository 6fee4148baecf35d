// Writes the CycloneDX bill of materials of one artefact: node tools/release/sbom.mjs ARTEFACT TARGET > BOM
//
// The same artefact has the same bill: no serial number, and the time is SOURCE_DATE_EPOCH.
// Made here, since cargo-cyclonedx 0.5.9 names what only tests enable (ring), procedural macros, and the builder's paths.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Enums, Models, Serialize, Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { crates, rustVersion } from './crates.mjs';

const [artefact, target] = process.argv.slice(2);
const seconds = Number(process.env.SOURCE_DATE_EPOCH);
if (!target || !seconds) throw new Error('usage: SOURCE_DATE_EPOCH=… node tools/release/sbom.mjs ARTEFACT TARGET');

const component = (crate, type, name = crate.name) => {
  const made = new Models.Component(type, name, {
    bomRef: crate.id,
    version: crate.version,
    licenses: new Models.LicenseRepository([new Models.LicenseExpression(crate.licence)]),
  });
  if (crate.checksum) {
    made.purl = `pkg:cargo/${crate.name}@${crate.version}`;
    made.hashes.set(Enums.HashAlgorithm['SHA-256'], crate.checksum);
  }
  return made;
};

const linked = crates(target);
// Every crate uses it, and an advisory may be about it; the registry does not have it.
linked.set('std', { id: 'std', name: 'std', version: rustVersion(), licence: 'MIT OR Apache-2.0', uses: [] });

const components = new Map();
for (const [id, crate] of linked) components.set(id, component(crate, Enums.ComponentType.Library));
const [subject] = [...linked.values()].filter(({ name }) => name === 'certbound');
components.set(subject.id, component(subject, Enums.ComponentType.Application, basename(artefact)));
for (const [id, crate] of linked) for (const used of crate.uses) components.get(id).dependencies.add(components.get(used).bomRef);

const described = components.get(subject.id);
described.hashes.set(Enums.HashAlgorithm['SHA-256'], createHash('sha256').update(readFileSync(artefact)).digest('hex'));
described.dependencies.add(components.get('std').bomRef);
components.delete(subject.id);

const bom = new Models.Bom({
  metadata: new Models.Metadata({ component: described, timestamp: new Date(seconds * 1000) }),
  components: new Models.ComponentRepository(components.values()),
});
const json = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6)).serialize(bom, { sortLists: true, space: 2 });
const fault = await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(json);
if (fault) throw new Error(`not CycloneDX: ${JSON.stringify(fault)}`);
process.stdout.write(`${json}\n`);
