import type { Remote } from './remote.ts';
import type { RemoteSettings } from './settings.ts';
import type { RemoteLocation } from './url.ts';

/**
 * Opens the adapter for a location; the first call on it connects. An adapter and its library are loaded only when that
 * kind of remote is used: together they cost a tenth of a second.
 */
export async function openRemote(location: RemoteLocation, settings: RemoteSettings): Promise<Remote> {
  switch (location.kind) {
    case 'sftp':
      return (await import('./sftp.ts')).openSftp(location, settings);
    case 'webdav':
      return (await import('./webdav.ts')).openWebdav(location, settings);
    case 'local':
      return (await import('./local.ts')).openLocal(location.path, settings);
  }
}
