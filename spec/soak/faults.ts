/** Faults of a plan, on a real line. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultProxy } from '../helpers/fault-proxy.ts';
import type { PlannedFault } from './plan.ts';

/** @returns when it is over; one that hits a lane for good, at once */
export async function strike(line: FaultProxy, { name, lane: number, forMs }: PlannedFault): Promise<void> {
  const lanes = line.lanes();
  const one = lanes[number % Math.max(1, lanes.length)];
  switch (name) {
    case 'cut one':
      return one?.cut();
    case 'cut one in the middle':
      return one?.cut(200_000);
    case 'cut all':
      return lanes.forEach((lane) => void lane.cut());
    case 'reset one':
      return one?.reset();
    case 'reset all':
      return lanes.forEach((lane) => void lane.reset());
    case 'half-close one towards the server':
      return one?.endTowards('server');
    case 'half-close one towards the program':
      return one?.endTowards('program');
    case 'stall one':
      one?.stall();
      await sleep(forMs);
      return one?.flow();
    case 'refuse':
      line.refuse();
      one?.cut();
      await sleep(forMs);
      return line.mend();
  }
}
