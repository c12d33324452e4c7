import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import type { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { systemErrorCode, UsageError } from '../../errors.ts';
import { CONNECT_ATTEMPT_MS } from '../connect.ts';
import type { TlsSettings } from '../settings.ts';

/** What the `webdav` client sends its requests through. */
export interface Agents {
  readonly httpAgent: http.Agent;
  readonly httpsAgent: https.Agent;
  /** Ends every connection; requests under way fail. */
  destroy(): void;
}

/** The codes of errors that come from here. */
export const ELSEWHERE = 'SKYLOCK_ELSEWHERE';
export const WRONG_CERTIFICATE = 'SKYLOCK_WRONG_CERTIFICATE';

type Connected = (error: Error | null, socket: Duplex) => void;

/**
 * Keep-alive connections to the server of `url` and to nothing else: a redirect to another host, port or scheme finds no
 * way there, so neither a password nor data can follow one.
 *
 * @throws UsageError when the CA file cannot be read, or the fingerprint is none
 */
export function agentsFor(url: URL, settings: TlsSettings, maxSockets: number): Agents {
  const autoSelectFamilyAttemptTimeout = CONNECT_ATTEMPT_MS;
  const options = { keepAlive: true, maxSockets, maxFreeSockets: maxSockets, autoSelectFamilyAttemptTimeout };
  const httpAgent = new http.Agent(options);
  const httpsAgent = new https.Agent({
    ...options,
    ...(settings.caFile === null ? {} : { ca: readAuthority(settings.caFile) }),
  });
  if (settings.certificateFingerprint !== null) {
    pinCertificate(httpsAgent, parseFingerprint(settings.certificateFingerprint));
  }
  bindTo(httpAgent, url, 'http:');
  bindTo(httpsAgent, url, 'https:');
  return {
    httpAgent,
    httpsAgent,
    destroy() {
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}

function bindTo(agent: http.Agent, url: URL, protocol: 'http:' | 'https:'): void {
  const connect = agent.createConnection;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = Number(url.port) || (protocol === 'https:' ? 443 : 80);
  agent.createConnection = function (this: http.Agent, options, connected) {
    if (url.protocol !== protocol || options.host !== host || Number(options.port) !== port) {
      const place = `${protocol}//${options.host}:${options.port}`;
      throw Object.assign(new Error(`it sends us to ${place}`), { code: ELSEWHERE });
    }
    return connect.call(this, options, connected);
  };
}

/**
 * Trusts one certificate, whoever signed it and whatever name it bears. It is looked at before the connection is handed
 * to any request, so before a password or data is sent.
 */
function pinCertificate(agent: https.Agent, fingerprint: string): void {
  agent.createConnection = (options, connected?: Connected) => {
    // A resumed session would show no certificate, so none is ever resumed.
    const socket = tls.connect({
      ...(options as tls.ConnectionOptions),
      session: undefined,
      rejectUnauthorized: false,
    });
    const fail = (error: Error) => {
      socket.destroy();
      connected?.(error, socket);
    };
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      socket.off('error', fail);
      const shown = fingerprintOf(socket);
      if (shown === fingerprint) return connected?.(null, socket);
      fail(
        Object.assign(new Error(`its certificate has the fingerprint ${shown || 'of none'}`), {
          code: WRONG_CERTIFICATE,
        }),
      );
    });
    return undefined;
  };
}

function fingerprintOf(socket: tls.TLSSocket): string {
  return normalised(socket.getPeerX509Certificate()?.fingerprint256 ?? '');
}

/** @param text as openssl, browsers and hosts show it: with or without colons */
function parseFingerprint(text: string): string {
  const fingerprint = normalised(text.replace(/^sha-?256[\s:=]*(fingerprint[\s:=]*)?/i, ''));
  if (/^[0-9a-f]{64}$/.test(fingerprint)) return fingerprint;
  throw new UsageError(`read the certificate's fingerprint: '${text}' is no SHA-256 in hexadecimal`, {
    hints: [
      'Show it with: openssl s_client -connect HOST:443 </dev/null | openssl x509 -noout -fingerprint -sha256',
    ],
  });
}

function normalised(fingerprint: string): string {
  return fingerprint.replace(/[:\s]/g, '').toLowerCase();
}

function readAuthority(path: string): string {
  try {
    const pem = readFileSync(path, 'utf8');
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  } catch (error) {
    throw new UsageError(`read the CA file ${path}: ${systemErrorCode(error) ?? 'it is no file'}`, {
      cause: error,
    });
  }
  throw new UsageError(`read the CA file ${path}: it holds no certificate in PEM`);
}
