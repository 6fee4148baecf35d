// What was measured, in docs/benchmarks.
import { readFileSync, writeFileSync } from 'node:fs';

const file = (name) => new URL(`../../docs/benchmarks/${name}.json`, import.meta.url);

/** Figures to four digits. */
export const rounded = (value) => (Array.isArray(value) ? value.map(rounded)
  : typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value);

/** JSON with a line for each row of a list, so that a change can be read. */
const inLines = (object, indent = '') => (Array.isArray(object)
  ? `[\n${object.map((row) => `${indent}  ${JSON.stringify(row)}`).join(',\n')}\n${indent}]`
  : typeof object === 'object'
    ? `{\n${Object.entries(object).filter(([, value]) => value !== undefined).map(([key, value]) => `${indent}  ${JSON.stringify(key)}: ${inLines(value, `${indent}  `)}`).join(',\n')}\n${indent}}`
    : JSON.stringify(object));

export const readResults = (name) => JSON.parse(readFileSync(file(name), 'utf8'));

export const writeResults = (name, results) => writeFileSync(file(name), `${inLines(results)}\n`);
