// The CPU time that the kernel accounts to a process.
import { readdirSync, readFileSync } from 'node:fs';

/** The time that all threads of a process have spent on a core, in user and kernel mode. */
export function cpuNanoseconds(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const times = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]));
  return times.reduce((sum, time) => sum + time, 0);
}
