/** An opener's thread: `sealed span → decrypted → unpacked → verified chunks → files, or chunks to pass on`. See `opener.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { repositoryKeys } from '../format/keys.ts';
import { free, type OpenedFrame, openSpan } from '../repository/chunks.ts';
import type { OpenerOptions } from './opener.ts';
import {
  type FrameToOpen,
  type FromOpener,
  type PassedFailure,
  passedFailure,
  sealedSpan,
  type ToOpener,
} from './opener-messages.ts';
import { createPartFiles } from './part-files.ts';
import { targetAt } from './target.ts';

/** So much is opened for one answer, and the rest of the chunk it ends in: a larger chunk is passed on without being copied. */
const ANSWER_BYTES = 512 * 1024;
/** Of files that have next to no bytes there are thousands in a span, and meanwhile the thread hears nothing. */
const ANSWER_MS = 25;

const port = parentPort!;
const { master, root, overwrite, asRoot, tag } = workerData as OpenerOptions;
const keys = repositoryKeys(master);
const target = targetAt(root);
const files = createPartFiles({ target, overwrite, asRoot, tag });
const spans = new Map<
  number,
  { readonly opened: Iterator<OpenedFrame<FrameToOpen>>; readonly bytes: Buffer }
>();

port.on('message', (message: ToOpener) => {
  switch (message.type) {
    case 'span': {
      const span = sealedSpan(message.span);
      spans.set(message.number, { opened: openSpan(keys, span), bytes: span.bytes });
      break;
    }
    case 'more':
      answer(message.number);
      break;
    case 'stop':
      spans.clear();
      target.close();
      port.close(); // the last thing that keeps the thread alive
  }
});

function answer(number: number): void {
  const span = spans.get(number);
  if (span === undefined) return; // it has ended, or all have
  const chunks: Buffer[] = [];
  const damage = new Map<number, string>();
  const failures = new Map<number, PassedFailure>();
  const refused = new Map<number, string>();
  let [frames, opened, passed] = [0, 0, 0];
  const since = performance.now();
  while (frames === 0 || (opened < ANSWER_BYTES && performance.now() - since < ANSWER_MS)) {
    const next = span.opened.next();
    if (next.done) {
      spans.delete(number);
      free(span.bytes);
      break;
    }
    const { frame, chunk, damage: found } = next.value;
    if (chunk === null) damage.set(frames, found.message);
    else if (frame.whole !== null) {
      try {
        const reason = files.writeWhole(frame.whole, chunk);
        if (reason !== null) refused.set(frames, reason);
      } catch (error) {
        const failure = passedFailure(error);
        if (failure === null) throw error;
        failures.set(frames, failure);
      }
      free(chunk);
    } else {
      chunks.push(chunk);
      passed += chunk.length;
    }
    opened += chunk?.length ?? 0;
    frames += 1;
  }
  if (frames === 0) return;
  const bytes = joined(chunks, passed);
  const message: FromOpener = { number, frames, bytes, damage, failures, refused };
  port.postMessage(message, [bytes.buffer as ArrayBuffer]);
  if (passed === 0) setImmediate(answer, number); // nothing piles up: it need not be asked for
}

/** @returns bytes that have a buffer for themselves, and can be passed on */
function joined(chunks: readonly Buffer[], total: number): Buffer {
  const [first] = chunks;
  if (chunks.length === 1 && first!.length === first!.buffer.byteLength) return first!;
  const bytes = Buffer.allocUnsafeSlow(total);
  let end = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, end);
    end += chunk.length;
    free(chunk);
  }
  return bytes;
}
