/** A real nginx with the dav and dav-ext modules on a free port of 127.0.0.1, with a configuration of its own. */
import { existsSync } from 'node:fs';
import { withFolder } from './temporary.ts';
import {
  startWebServer,
  type WebServer,
  type WebServerOptions,
  type WebServerProgram,
  type WebServerSetting,
} from './web-server.ts';

const DAV_EXT = '/usr/lib/nginx/modules/ngx_http_dav_ext_module.so';

const nginx: WebServerProgram = {
  command: '/usr/sbin/nginx',
  args: (file) => ['-c', file],
  configuration,
  folders: ['bodies'],
};

/** @returns why there can be no nginx here, or `null`. */
export function missingNginx(): string | null {
  const needed = [nginx.command, DAV_EXT, '/usr/bin/htpasswd', '/usr/bin/openssl'];
  const missing = needed.find((path) => !existsSync(path));
  return missing === undefined ? null : `${missing} is not installed`;
}

/** Lends the server, and ends it by its process id. It knows no Digest. */
export async function withNginx<T>(
  options: WebServerOptions & { readonly auth?: 'basic' | 'none' },
  use: (server: WebServer) => Promise<T>,
): Promise<T> {
  return withFolder(async (folder) => {
    const server = await startWebServer(nginx, folder, options);
    try {
      return await use(server);
    } finally {
      await server.stop();
    }
  });
}

function configuration({ folder, port, certificate, auth, directives }: WebServerSetting): string[] {
  return [
    `load_module ${DAV_EXT};`,
    'daemon off;',
    ...(process.getuid?.() === 0 ? ['user www-data;'] : []),
    'worker_processes 1;',
    `pid ${folder}/nginx.pid;`,
    `error_log ${folder}/error.log;`,
    'events {}',
    'http {',
    'access_log off;',
    `client_body_temp_path ${folder}/bodies;`,
    // Made at the start, whether used or not, in a folder that is root's.
    ...['proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/bodies/${name};`),
    'client_max_body_size 0;',
    'server {',
    `listen 127.0.0.1:${port}${certificate === null ? '' : ' ssl'};`,
    ...(certificate === null ? [] : [`ssl_certificate ${certificate.certificateFile};`]),
    ...(certificate === null ? [] : [`ssl_certificate_key ${certificate.keyFile};`]),
    `root ${folder}/root;`,
    'location / {',
    'dav_methods PUT DELETE MKCOL COPY MOVE;',
    'dav_ext_methods PROPFIND OPTIONS;',
    ...(auth === 'none' ? [] : ['auth_basic skylock;', `auth_basic_user_file ${folder}/basic;`]),
    ...directives,
    '}',
    '}',
    '}',
  ];
}
