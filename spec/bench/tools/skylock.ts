import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Place } from '../places.ts';
import { environment, type Tool, versionOf } from './tool.ts';

const CHECKOUT = resolve(import.meta.dirname, '../../..');

/** Builds what is published into `folder`. @returns the program */
export function buildSkylock(folder: string): string {
  mkdirSync(join(folder, 'bin'), { recursive: true });
  execFileSync(process.execPath, ['build.ts', join(folder, 'dist')], { cwd: CHECKOUT, stdio: 'pipe' });
  for (const file of ['bin/skylock', 'package.json']) cpSync(join(CHECKOUT, file), join(folder, file));
  symlinkSync(join(CHECKOUT, 'node_modules'), join(folder, 'node_modules'));
  return join(folder, 'bin/skylock');
}

/** @param cache where compiled code is kept from one start to the next, as on a person's machine */
export function createSkylock(program: string, cache: string): Tool {
  return {
    name: 'skylock',
    title: 'Skylock',
    missing: () => null,
    version: () => versionOf(program, '--version'),
    async account(place, home) {
      const env = environment(home, {
        SKYLOCK_PASSWORD: 'benchmark',
        XDG_CACHE_HOME: cache,
        ...remoteOf(place),
      });
      const command = (...args: string[]) => ({ file: program, args, env });
      return {
        prepare: command('init', '--quiet'),
        backup: (source) => command('backup', '--direct', '--quiet', source),
        restore: (target) => command('restore', 'latest', '--quiet', '--target', target),
      };
    },
  };
}

function remoteOf(place: Place): Record<string, string> {
  switch (place.kind) {
    case 'folder':
      return { SKYLOCK_REMOTE: join(place.folder, 'repository') };
    case 'webdav':
      return { SKYLOCK_REMOTE: `${place.url}repository`, SKYLOCK_REMOTE_PASSWORD: place.password };
    case 'sftp':
      return {
        SKYLOCK_REMOTE: `sftp://${place.user}@127.0.0.1:${place.port}${place.folder}/repository`,
        SKYLOCK_SSH_IDENTITY: place.identityFile,
        SKYLOCK_KNOWN_HOSTS: place.knownHostsFile,
      };
  }
}
