/** `rclone serve webdav`: a third kind of WebDAV server, whose words for the same things differ once more. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { startServer } from './server-process.ts';
import { withFolder } from './temporary.ts';
import type { WebServer } from './web-server.ts';

const RCLONE = '/usr/bin/rclone';

/** @returns why there can be no rclone here, or `null`. */
export function missingRclone(): string | null {
  return existsSync(RCLONE) ? null : `${RCLONE} is not installed`;
}

/** Lends the server, in clear and with Basic authentication, and ends it by its process id. */
export async function withRclone<T>(use: (server: WebServer) => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    const root = join(folder, 'root');
    await mkdir(root);
    const port = await freePort();
    const [user, password] = ['anna', 'open sesame 77e1'];
    const address = ['--addr', `127.0.0.1:${port}`, '--user', user, '--pass', password];
    const own = ['--config', join(folder, 'rclone.conf'), '--cache-dir', join(folder, 'cache')];
    const start = () => startServer(RCLONE, ['serve', 'webdav', ...own, ...address, root], port);
    let running = await start();
    try {
      return await use({
        url: `http://${user}@127.0.0.1:${port}/`,
        port,
        user,
        password,
        root,
        certificateFingerprint: '',
        caFile: '',
        get pid() {
          return running.pid;
        },
        stop: (signal) => running.stop(signal),
        restart: async () => {
          running = await start();
        },
      });
    } finally {
      await running.stop();
    }
  });
}
