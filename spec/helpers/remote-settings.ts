import type { RemoteSettings } from '../../lib/remote/settings.ts';

type Parts = Partial<Omit<RemoteSettings, 'ssh' | 'tls'>> & {
  readonly ssh?: Partial<RemoteSettings['ssh']>;
  readonly tls?: Partial<RemoteSettings['tls']>;
};

/** Settings in which nobody is asked and nothing of this machine's user is read, but for what `parts` says. */
export function remoteSettings({ ssh, tls, ...rest }: Parts = {}): RemoteSettings {
  return {
    maxConnections: 4,
    lanes: 4,
    temporaryToken: 'spec',
    password: async () => null,
    ssh: {
      home: '/nonexistent',
      agentSocket: null,
      identityFiles: [],
      knownHostsFile: null,
      passphrase: async () => null,
      confirmHostKey: async () => false,
      ...ssh,
    },
    tls: { caFile: null, certificateFingerprint: null, insecureHttp: false, ...tls },
    ...rest,
  };
}
