import type { Remote } from '../../lib/remote/remote.ts';
import { openSftp } from '../../lib/remote/sftp.ts';
import { withProftpd } from '../helpers/proftpd.ts';
import { type SshServer, sshSettings, withSshd } from '../helpers/sshd.ts';
import { remoteContract } from './contract.ts';

remoteContract('SFTP to OpenSSH', (run) => withSshd({}, (server) => withRemote(server, run)));
remoteContract('SFTP to ProFTPD', (run) => withProftpd({}, (server) => withRemote(server, run)));

async function withRemote(server: SshServer, run: (remote: Remote) => Promise<void>): Promise<void> {
  const { user, host, port, root: path } = server;
  const remote = await openSftp({ kind: 'sftp', user, host, port, path }, sshSettings(server));
  try {
    await run(remote);
  } finally {
    await remote.close();
  }
}
