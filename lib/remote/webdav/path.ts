/** Percent-encodes each part of a path as the `webdav` client does. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
