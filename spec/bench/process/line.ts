/**
 * The line between programs and a server, in a process of its own, so that it shares no thread with anything that is
 * measured: `line.ts <port> <delay in ms> <bytes a second, 0: as many as there are>`. Answers questions of its parent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultProxy, withFaultProxy } from '../../helpers/fault-proxy.ts';

export type Question =
  | { readonly id: number; readonly ask: 'port' | 'sent' | 'quiet' }
  | { readonly id: number; readonly ask: 'reached'; readonly bytes: number };

const [serverPort, delayMs, bytesPerSecond] = process.argv.slice(2).map(Number);
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {}); // it ends with its parent

await withFaultProxy(serverPort!, async (proxy) => {
  proxy.delay(delayMs!);
  if (bytesPerSecond! > 0) proxy.limit(bytesPerSecond!);
  process.on('message', async (question: Question) => {
    const value = await answer(proxy, question);
    if (process.connected) process.send?.({ id: question.id, value });
  });
  await new Promise((resolve) => process.on('disconnect', resolve));
});
process.exit(0);

async function answer(proxy: FaultProxy, question: Question): Promise<number> {
  if (question.ask === 'port') return proxy.port;
  if (question.ask === 'reached') while (proxy.sentBytes() < question.bytes) await sleep(2);
  if (question.ask === 'quiet') while (proxy.lanes().length > 0) await sleep(5);
  return proxy.sentBytes();
}
