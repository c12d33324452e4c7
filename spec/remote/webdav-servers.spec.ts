import { parseRemoteUrl, type WebdavLocation } from '../../lib/remote/url.ts';
import { openWebdav } from '../../lib/remote/webdav.ts';
import { missingApache, withApache } from '../helpers/apache.ts';
import { missingNginx, withNginx } from '../helpers/nginx.ts';
import { remoteSettings } from '../helpers/remote-settings.ts';
import { skipTest } from '../helpers/skip.ts';
import type { WebServer } from '../helpers/web-server.ts';
import { remoteContract, type WithRemote } from './contract.ts';

const noApache = missingApache();
const noNginx = missingNginx();

const open = (server: WebServer, folder = 'not/there yet') =>
  openWebdav(
    parseRemoteUrl(server.url + folder, '/') as WebdavLocation,
    remoteSettings({
      password: async () => server.password,
      tls: { certificateFingerprint: server.certificateFingerprint || null },
    }),
  );

const lend =
  (server: WebServer) =>
  async (run: Parameters<WithRemote>[0]): Promise<void> => {
    const remote = await open(server);
    await run(remote).finally(() => remote.close());
  };

for (const [title, options] of [
  ['Apache', { auth: 'basic', password: 'zwölf €' }],
  ['Apache with TLS', { auth: 'basic', tls: true }],
  ['Apache with Digest', { auth: 'digest' }],
] as const) {
  if (noApache !== null) skipTest(title, noApache);
  else {
    const withRemote: WithRemote = (run) => withApache(options, (server) => lend(server)(run));
    remoteContract(title, withRemote, { replacesInOneStep: false });
  }
}
if (noNginx !== null) skipTest('nginx', noNginx);
else remoteContract('nginx', (run) => withNginx({}, (server) => lend(server)(run)));
