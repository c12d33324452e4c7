import { RemoteError } from '../errors.ts';

const PART = /^(?!\.{1,2}$)[A-Za-z0-9._-]+$/;

/** @throws RemoteError unless `name` is what the port calls a name: it may come from bytes the remote has sent. */
export function requireName(name: string): void {
  if (name.length <= 1024 && name.split('/').every((part) => PART.test(part))) return;
  throw new RemoteError(`find object ${JSON.stringify(name.slice(0, 80))}: this is no name of an object`, {
    retryable: false,
  });
}

/** @throws RemoteError unless `prefix` is empty or a folder's name that ends in `/` */
export function requirePrefix(prefix: string): void {
  if (prefix === '') return;
  requireName(prefix.endsWith('/') ? prefix.slice(0, -1) : '');
}
