import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificate {
  readonly keyFile: string;
  /** PEM; it signs itself, so it is its own authority too. */
  readonly certificateFile: string;
  /** SHA-256 in lower-case hexadecimal. */
  readonly fingerprint: string;
}

/** Makes a key and a self-signed certificate for 127.0.0.1 in `folder`. */
export async function makeCertificate(folder: string, name = 'server'): Promise<Certificate> {
  const keyFile = join(folder, `${name}.key`);
  const certificateFile = join(folder, `${name}.crt`);
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = [
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=IP:127.0.0.1,DNS:localhost',
  ];
  await promisify(execFile)('openssl', [...request, '-keyout', keyFile, '-out', certificateFile, ...subject]);
  const { fingerprint256 } = new X509Certificate(await readFile(certificateFile));
  return { keyFile, certificateFile, fingerprint: fingerprint256.replaceAll(':', '').toLowerCase() };
}
