// Whose the instructions of a request are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partition } from './partition.mjs';

const request = {
  compiled: 1000,
  calls: [['0xc0', 900], ['0xf0', 50], ['0xf0', 50], ['0xc0', 700], ['0xf0', 50], ['0xc0', 300], ['0x70', 40]],
};

test('host calls are told by their address, and named in their order', () => assert.deepEqual(
  partition(request, ['get_property', 'set_property', 'set_property']),
  { filter: 1190, hostCalls: { get_property: { count: 1, instructions: 900 }, set_property: { count: 2, instructions: 1000 } } },
));

test('a filter may make none', () => assert.deepEqual(partition({ compiled: 10, calls: [] }, []), { filter: 10, hostCalls: {} }));

test('as many host calls must be seen as the filter makes', () => {
  assert.throws(() => partition(request, ['get_property', 'set_property']), /as many/);
  assert.throws(() => partition(request, []), /as many/);
  assert.throws(() => partition({ compiled: 10, calls: [] }, ['get_property']), /as many/);
});
