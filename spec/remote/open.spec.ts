import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openRemote } from '../../lib/remote/open.ts';
import { parseRemoteUrl } from '../../lib/remote/url.ts';
import { remoteSettings } from '../helpers/remote-settings.ts';
import { withFolder } from '../helpers/temporary.ts';

const opening = suite('opening a remote');

for (const text of ['sftp://me@box/srv', 'https://me@box.example/dav', '/srv/backup']) {
  opening(`${text} is opened by its adapter without connecting yet`, async () => {
    const remote = await openRemote(parseRemoteUrl(text, '/'), remoteSettings());
    assert.is(remote.url, text);
    await remote.close();
  });
}

opening('a local remote loads no network library', () =>
  withFolder(async (folder) => {
    const script = `
      import { registerHooks } from 'node:module';
      registerHooks({ load: (url, context, next) => { console.log(url); return next(url, context); } });
      const { openRemote } = await import(${JSON.stringify(resolve(import.meta.dirname, '../../lib/remote/open.ts'))});
      await openRemote({ kind: 'local', path: process.argv[1] }, { temporaryToken: 'spec' });
    `;
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      script,
      join(folder, 'repository'),
    ]);
    assert.match(stdout, /lib\/remote\/local\.ts/);
    assert.not.match(stdout, /ssh2|webdav|sftp/);
  }),
);

opening.run();
