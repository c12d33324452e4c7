import type { Socket } from 'node:net';

/**
 * Hands what is written to the socket in one turn of the event loop to the system in one call. ssh2 writes each packet
 * in three pieces (length, 32 KiB, tag); without Nagle's algorithm each would be a call, and a segment, of its own.
 * Measured: a quarter of the processor time of an upload, a third of its wall time.
 */
export function coalesceWrites(socket: Socket): Socket {
  const write = socket.write;
  let corked = false;
  socket.write = function (this: Socket, ...args: unknown[]): boolean {
    if (!corked) {
      corked = true;
      this.cork();
      setImmediate(() => {
        corked = false;
        this.uncork();
      });
    }
    return write.apply(this, args as never);
  } as typeof socket.write;
  return socket;
}
