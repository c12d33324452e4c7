import type { SFTPWrapper } from 'ssh2';

/** What we touch of ssh2's own sessions: how a request is known by its answer, and what the server's window lets through. */
interface Session {
  readonly _protocol: { channelData(channel: number, bytes: Buffer): void };
  readonly _requests: Record<number, { readonly cb: (error?: Error | null) => void }>;
  readonly outgoing: {
    readonly id: number;
    readonly state: string;
    readonly packetSize: number;
    window: number;
  };
  _writeReqid: number;
  /** What waits for the window, whole requests or the rest of one. */
  _buffer: Buffer[];
  _waitWindow: boolean;
  /** Called when the window has opened. */
  _chunkcb: (() => void) | undefined;
}

const WRITE = 6;

/**
 * As `sftp.write`, with the bytes taken from where they lie: ssh2 first copies them into a request of their size, which is
 * garbage afterwards. A version of ssh2 that is made otherwise is left to do it its way.
 * @param bytes must not change until `done` is called; no more than the server takes in one request
 * @see draft-ietf-secsh-filexfer-02, section 6.4
 */
export function writeFrom(
  sftp: SFTPWrapper,
  handle: Buffer,
  bytes: Buffer,
  position: number,
  done: (error?: Error | null) => void,
): void {
  if (!isSession(sftp)) {
    (sftp as SFTPWrapper).write(handle, bytes, 0, bytes.length, position, done);
    return;
  }
  const id = (sftp._writeReqid + 1) >>> 0;
  sftp._writeReqid = id;
  sftp._requests[id] = { cb: done };
  send(sftp, requestHead(id, handle, position, bytes.length));
  send(sftp, bytes);
}

/** *Shape*: length of all that follows, type, id, handle, offset, length of the bytes that follow. */
function requestHead(id: number, handle: Buffer, position: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(25 + handle.length);
  head.writeUInt32BE(head.length - 4 + length);
  head[4] = WRITE;
  head.writeUInt32BE(id, 5);
  head.writeUInt32BE(handle.length, 9);
  handle.copy(head, 13);
  head.writeBigUInt64BE(BigInt(position), 13 + handle.length);
  head.writeUInt32BE(length, 21 + handle.length);
  return head;
}

/** Sends as much as the window lets through, behind all that waits for it, and has the rest wait. */
function send(session: Session, bytes: Buffer): void {
  const { outgoing, _protocol: protocol } = session;
  if (outgoing.state !== 'open') return; // ssh2 ends all requests with an error
  let at = 0;
  while (at < bytes.length && outgoing.window > 0) {
    const count = Math.min(bytes.length - at, outgoing.window, outgoing.packetSize);
    outgoing.window -= count;
    protocol.channelData(outgoing.id, bytes.subarray(at, at + count));
    at += count;
  }
  if (at < bytes.length) session._buffer.push(bytes.subarray(at));
  if (outgoing.window > 0) return;
  session._waitWindow = true;
  session._chunkcb = () => {
    session._chunkcb = undefined;
    for (const waiting of session._buffer.splice(0)) send(session, waiting);
  };
}

function isSession(sftp: unknown): sftp is Session {
  const { _protocol, _requests, _buffer, _writeReqid, outgoing } = sftp as Partial<Session>;
  return (
    typeof _protocol?.channelData === 'function' &&
    typeof _requests === 'object' &&
    Array.isArray(_buffer) &&
    typeof _writeReqid === 'number' &&
    typeof outgoing?.window === 'number' &&
    typeof outgoing.packetSize === 'number'
  );
}
