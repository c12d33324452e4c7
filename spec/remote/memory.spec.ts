import { memoryRemote } from '../../lib/remote/memory.ts';
import { remoteContract } from './contract.ts';

remoteContract('the memory remote', (run) => run(memoryRemote()));
