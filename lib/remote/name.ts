import { RemoteError } from '../errors.ts';

/** None begins with a dot: servers hide such files from a listing (nginx does), and in a login folder they are not ours. */
const PART = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** Of ours none has more than 80; whoever holds a listing of a stranger's holds no longer ones. */
export const MAX_NAME_LENGTH = 128;

/** Is it what the port calls a name? */
export function isName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && name.split('/').every((part) => PART.test(part));
}

/** @throws RemoteError unless `name` is one: it may come from bytes the remote has sent. */
export function requireName(name: string): void {
  if (isName(name)) return;
  throw new RemoteError(`find object ${JSON.stringify(name.slice(0, 80))}: this is no name of an object`, {
    retryable: false,
  });
}

/** @throws RemoteError unless `prefix` is empty or a folder's name that ends in `/` */
export function requirePrefix(prefix: string): void {
  if (prefix === '') return;
  requireName(prefix.endsWith('/') ? prefix.slice(0, -1) : '');
}
