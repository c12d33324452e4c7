/** What an adapter has to know beside the URL; everything comes from the configuration, nothing from globals. */
export interface RemoteSettings {
  /** Connections this process may hold at once: 1 to 8. */
  readonly maxConnections: number;
  /** Transfers the caller will have under way at once; an adapter may keep a channel or connection for each. */
  readonly lanes: number;
  /** Begins the names of this process's temporary objects, so that a later run can tell whose they are: `[a-z0-9]+`. */
  readonly temporaryToken: string;
  /** The remote's own password, asked for only when the server wants one; `null` when there is none. */
  readonly password: () => Promise<string | null>;
  readonly ssh: SshSettings;
  readonly tls: TlsSettings;
}

export interface SshSettings {
  /** The folder that holds `.ssh`. */
  readonly home: string;
  readonly agentSocket: string | null;
  /** Key files to offer beside those of `~/.ssh/config` and the usual names. */
  readonly identityFiles: readonly string[];
  /** Instead of `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`. */
  readonly knownHostsFile: string | null;
  /** The passphrase of a key file; `null` when nobody can be asked. */
  readonly passphrase: (keyFile: string) => Promise<string | null>;
  /** Is the person willing to trust this unknown host key? An accepted key is added to the known_hosts file. */
  readonly confirmHostKey: (question: HostKeyQuestion) => Promise<boolean>;
}

export interface HostKeyQuestion {
  /** As known_hosts writes it: `host` or `[host]:port`. */
  readonly host: string;
  readonly keyType: string;
  /** `SHA256:…`, as ssh-keygen prints it. */
  readonly fingerprint: string;
}

export interface TlsSettings {
  /** A PEM file with the authority that signed the server's certificate. */
  readonly caFile: string | null;
  /** SHA-256 of the server's certificate in hexadecimal; when set, exactly this certificate is trusted. */
  readonly certificateFingerprint: string | null;
  /** Allow `http://` to another machine. */
  readonly insecureHttp: boolean;
}
