import { basename, dirname } from 'node:path';
import { environment, missingProgram, quoted, requireSsh, sshWords, type Tool, versionOf } from './tool.ts';

/** The floor: nothing is encrypted where it is stored, nothing resumed, nothing found again. */
export const tar: Tool = {
  name: 'tar',
  title: 'tar | ssh cat',
  missing: () => missingProgram('/usr/bin/ssh', 'openssh-client'),
  version: () => versionOf('/usr/bin/tar', '--version'),
  async account(place, home) {
    const ssh = requireSsh('tar', place);
    return {
      prepare: null,
      backup(source) {
        const pack = quoted(['tar', '-cf', '-', '-C', dirname(source), basename(source)]);
        const send = quoted([...sshWords(ssh), `cat > ${quoted([`${ssh.folder}/archive.tar`])}`]);
        return { file: '/bin/sh', args: ['-c', `${pack} | ${send}`], env: environment(home) };
      },
      restore: () => null,
    };
  },
};
