import { environment, missingProgram, quoted, requireSsh, sshWords, type Tool, versionOf } from './tool.ts';

const BORG = '/usr/bin/borg';

export const borg: Tool = {
  name: 'borg',
  title: 'borg',
  missing: () => missingProgram(BORG, 'borgbackup'),
  version: () => versionOf(BORG, '--version'),
  async account(place, home) {
    const ssh = requireSsh('borg', place);
    const env = environment(home, {
      BORG_BASE_DIR: home,
      BORG_PASSPHRASE: 'benchmark',
      BORG_REPO: `ssh://${ssh.user}@127.0.0.1:${ssh.port}${ssh.folder}/repository`,
      BORG_RSH: quoted(sshWords(ssh).slice(0, -1)), // borg adds the host itself
    });
    // What serves a client that was killed lets go of the repository a moment later.
    const command = (...args: string[]) => ({ file: BORG, args: ['--lock-wait', '30', ...args], env });
    let archives = 0;
    return {
      prepare: command('init', '--encryption', 'repokey-blake2'),
      backup(source) {
        archives += 1;
        return command('create', `::archive-${archives}`, source);
      },
      restore: (target) => ({ ...command('extract', `::archive-${archives}`), cwd: target }),
    };
  },
};
