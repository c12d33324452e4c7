/**
 * Fields as bytes in one way only, to be authenticated: each as its length (4 bytes, big endian) followed by its
 * bytes; text as UTF-8, whole numbers as decimal digits. No two lists of fields give the same bytes.
 */
export function canonicalBytes(fields: readonly (string | number | Uint8Array)[]): Buffer {
  const parts = fields.flatMap((field) => {
    const bytes = field instanceof Uint8Array ? field : Buffer.from(String(field), 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts);
}
