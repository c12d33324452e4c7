import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Place } from '../places.ts';
import { environment, missingProgram, type Tool, versionOf } from './tool.ts';

const RCLONE = '/usr/bin/rclone';

/** `rclone copy` through its crypt remote. */
export const rclone: Tool = {
  name: 'rclone',
  title: 'rclone crypt',
  missing: () => missingProgram(RCLONE, 'rclone'),
  version: () => versionOf(RCLONE, 'version'),
  async account(place, home) {
    const config = join(home, 'rclone.conf');
    await writeFile(config, configuration(place), { mode: 0o600 });
    const options = ['--quiet', '--config', config];
    const command = (...args: string[]) => ({
      file: RCLONE,
      args: [...options, ...args],
      env: environment(home),
    });
    return {
      prepare: null,
      backup: (source) => command('copy', source, 'crypted:'),
      restore: () => null,
    };
  },
};

function configuration(place: Place): string {
  const [server, path] = serverSection(place);
  return [
    '[server]',
    ...server,
    '[crypted]',
    'type = crypt',
    `remote = server:${path}`,
    `password = ${obscure('benchmark')}`,
    '',
  ].join('\n');
}

function serverSection(place: Place): [lines: string[], path: string] {
  if (place.kind === 'folder') return [['type = local'], `${place.folder}/repository`];
  if (place.kind === 'webdav') {
    const { url, user, password } = place;
    const plain = new URL(url);
    plain.username = '';
    return [
      ['type = webdav', `url = ${plain}`, 'vendor = other', `user = ${user}`, `pass = ${obscure(password)}`],
      'repository',
    ];
  }
  const { port, user, identityFile, folder } = place;
  return [
    [
      'type = sftp',
      'host = 127.0.0.1',
      `port = ${port}`,
      `user = ${user}`,
      `key_file = ${identityFile}`,
      'shell_type = none',
    ],
    `${folder}/repository`,
  ];
}

function obscure(secret: string): string {
  return execFileSync(RCLONE, ['obscure', secret], { encoding: 'utf8' }).trim();
}
