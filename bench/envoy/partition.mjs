// Whose the instructions of a request are: the filter's, or those of the host calls that it makes.
import assert from 'node:assert/strict';

const total = (calls) => calls.reduce((sum, [, instructions]) => sum + instructions, 0);

/**
 * `compiled` counts the instructions in compiled code, `calls` has the address and the instructions of each call out of
 * it, in their order, and `names` the host calls that the filter is known to make, in theirs. For a host call V8 leaves
 * WebAssembly at one address, always the same; for copying memory and the like, which is the filter's own work, at a
 * few others, and never for long.
 */
export function partition({ compiled, calls }, names) {
  const byAddress = [...new Set(calls.map(([address]) => address))].map((address) => calls.filter((call) => call[0] === address));
  const [hostCalls = []] = byAddress.toSorted((a, b) => total(b) - total(a));
  assert.ok(hostCalls.length === names.length, `V8 was left for ${hostCalls.length} host calls, but the filter makes as many as ${names.length}: ${names}`);
  const byName = {};
  for (const [index, [, instructions]] of hostCalls.entries()) {
    const those = (byName[names[index]] ??= { count: 0, instructions: 0 });
    those.count += 1;
    those.instructions += instructions;
  }
  return { filter: compiled + total(calls) - total(hostCalls), hostCalls: byName };
}
