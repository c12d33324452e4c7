import { environment, missingProgram, quoted, requireSsh, sshWords, type Tool, versionOf } from './tool.ts';

const RESTIC = '/usr/bin/restic';

/** The newest format, which compresses. */
export const restic: Tool = {
  name: 'restic',
  title: 'restic',
  missing: () => missingProgram(RESTIC, 'restic'),
  version: () => versionOf(RESTIC, 'version'),
  async account(place, home) {
    const ssh = requireSsh('restic', place);
    const env = environment(home, {
      RESTIC_PASSWORD: 'benchmark',
      RESTIC_REPOSITORY: `sftp:${ssh.user}@127.0.0.1:${ssh.folder}/repository`,
    });
    const options = ['--quiet', '-o', `sftp.command=${quoted([...sshWords(ssh), '-s', 'sftp'])}`];
    const command = (...args: string[]) => ({ file: RESTIC, args: [...options, ...args], env });
    return {
      prepare: command('init', '--repository-version', '2'),
      backup: (source) => command('backup', source),
      restore: (target) => command('restore', 'latest', '--target', target),
    };
  },
};
