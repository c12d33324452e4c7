/** A real Apache with mod_dav on a free port of 127.0.0.1, with a configuration of its own. */
import { existsSync } from 'node:fs';
import { withFolder } from './temporary.ts';
import {
  startWebServer,
  type WebServer,
  type WebServerOptions,
  type WebServerProgram,
  type WebServerSetting,
} from './web-server.ts';

const MODULES = '/usr/lib/apache2/modules';

const apache: WebServerProgram = {
  command: '/usr/sbin/apache2',
  args: (file) => ['-f', file, '-D', 'FOREGROUND'],
  configuration,
  folders: ['locks'],
};

/** @returns why there can be no Apache here, or `null`. */
export function missingApache(): string | null {
  const needed = [apache.command, `${MODULES}/mod_dav_fs.so`, '/usr/bin/htpasswd', '/usr/bin/openssl'];
  const missing = needed.find((path) => !existsSync(path));
  return missing === undefined ? null : `${missing} is not installed`;
}

/** Lends the server, and ends it by its process id. */
export async function withApache<T>(
  options: WebServerOptions,
  use: (server: WebServer) => Promise<T>,
): Promise<T> {
  return withFolder(async (folder) => {
    const server = await startWebServer(apache, folder, options);
    try {
      return await use(server);
    } finally {
      await server.stop();
    }
  });
}

function configuration({ folder, port, certificate, auth, directives }: WebServerSetting): string[] {
  const modules = ['mpm_event', 'authn_core', 'authn_file', 'authz_core', 'authz_user', 'dav', 'dav_fs'];
  if (auth !== 'none') modules.push(`auth_${auth}`);
  if (certificate !== null) modules.push('socache_shmcb', 'ssl');
  return [
    ...modules.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`),
    `ServerRoot "${folder}"`,
    'ServerName localhost',
    `PidFile "${folder}/apache.pid"`,
    `ErrorLog "${folder}/error.log"`,
    'User www-data',
    'Group www-data',
    'StartServers 1',
    'ServerLimit 1',
    'ThreadsPerChild 40',
    'MaxRequestWorkers 40',
    `Listen 127.0.0.1:${port}`,
    `DocumentRoot "${folder}/root"`,
    `DavLockDB "${folder}/locks/db"`,
    ...(certificate === null
      ? []
      : [
          'SSLEngine On',
          `SSLCertificateFile "${certificate.certificateFile}"`,
          `SSLCertificateKeyFile "${certificate.keyFile}"`,
        ]),
    `<Directory "${folder}/root">`,
    'Dav On',
    ...(auth === 'none'
      ? ['Require all granted']
      : [
          `AuthType ${auth}`,
          'AuthName skylock',
          `Auth${auth === 'basic' ? 'Basic' : 'Digest'}Provider file`,
          `AuthUserFile "${folder}/${auth}"`,
          'Require valid-user',
        ]),
    ...directives,
    '</Directory>',
  ];
}
