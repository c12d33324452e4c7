/**
 * An SFTP server with a few files in memory that writes down what it is asked, and can be told to misbehave: for what no
 * real server does on demand. It offers no extension.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import ssh2, { type AuthContext, type Connection, type SFTPWrapper } from 'ssh2';
import { makeKey, type SshServer } from './sshd.ts';
import { withFolder } from './temporary.ts';

const { STATUS_CODE } = ssh2.utils.sftp;

export interface Script {
  /** Lets in whoever answers well; everybody when absent. */
  readonly authenticate?: (context: AuthContext) => void;
  /** The answer to this request instead of doing it: a status, or a failure with these words. `what` is e.g. `rename /a /b`. */
  readonly answer?: (what: string) => number | string | undefined;
  /** Channels it opens on a connection. */
  readonly maxChannels?: number;
  /** What it does when it is asked for more; refuses unless told. */
  readonly tooMany?: 'hangs up' | 'says nothing';
  /** What the next part of a folder holds: names, those of folders ending in `/`. Every folder is there, and none ends. */
  readonly list?: (path: string) => readonly string[];
  /** What its shell says to a command, ending it without a status; without this it has no shell. */
  readonly command?: (line: string) => string;
  /** What it says of a file's size. */
  readonly sizeOf?: (bytes: Buffer) => number;
}

export interface ScriptedServer extends SshServer {
  /** What was asked, in order: `channel`, `open /a`, `write /a 0 100`, `fstat /a`, `close /a`, `rename /a /b`, … */
  readonly requests: string[];
  readonly files: Map<string, Buffer>;
  /** Ciphers in the direction of the server, one a connection. */
  readonly ciphers: string[];
}

export async function withScriptedSftp(
  script: Script,
  run: (server: ScriptedServer) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const home = join(folder, 'home');
    await mkdir(join(home, '.ssh'), { recursive: true });
    const hostKey = makeKey(join(folder, 'host_key'), 'ed25519');
    const identityFile = join(folder, 'id_user');
    makeKey(identityFile, 'ed25519');
    const connections = new Set<Connection>();
    const state = { requests: [] as string[], files: new Map<string, Buffer>(), ciphers: [] as string[] };
    const listener = new ssh2.Server({ hostKeys: [readFileSync(join(folder, 'host_key'))] }, (client) => {
      connections.add(client);
      client.on('close', () => connections.delete(client));
      client.on('error', () => {});
      client.on('handshake', ({ cs }) => state.ciphers.push(cs.cipher));
      client.on('authentication', script.authenticate ?? ((context) => context.accept()));
      let channels = 0;
      client.on('session', (accept, reject) => {
        channels += 1;
        state.requests.push('channel');
        if (channels > (script.maxChannels ?? Number.POSITIVE_INFINITY)) {
          if (script.tooMany === 'hangs up') return client.end();
          if (script.tooMany === 'says nothing') return;
          return reject();
        }
        const session = accept();
        session.on('sftp', (acceptSftp) => serve(acceptSftp(), script, state));
        const { command } = script;
        if (command !== undefined)
          session.on('exec', (acceptExec, _, { command: line }) => acceptExec().end(command(line)));
      });
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const hostKeyLines = [`[127.0.0.1]:${port} ${hostKey}`];
    const knownHostsFile = join(folder, 'known_hosts');
    await writeFile(knownHostsFile, `${hostKeyLines.join('\n')}\n`);
    const dropConnections = () => {
      for (const client of connections) client.end();
    };
    const stop = async () => {
      dropConnections();
      listener.close();
    };
    try {
      await run({
        host: '127.0.0.1',
        port,
        user: 'somebody',
        hostKeyLines,
        knownHostsFile,
        identityFile,
        home,
        loginFolder: '/',
        root: '/r',
        url: `sftp://somebody@127.0.0.1:${port}/r`,
        pid: process.pid,
        connections: () => connections.size,
        dropConnections,
        stop,
        ...state,
      });
    } finally {
      await stop();
    }
  });
}

function serve(
  sftp: SFTPWrapper,
  script: Script,
  { requests, files }: Pick<ScriptedServer, 'requests' | 'files'>,
): void {
  const handles: string[] = [];
  const pathOf = (handle: Buffer) => handles[handle.readUInt32BE(0)] ?? '';
  const attributes = (bytes: Buffer) => ({
    mode: 0o100600,
    uid: 0,
    gid: 0,
    size: script.sizeOf?.(bytes) ?? bytes.length,
    atime: 0,
    mtime: 0,
  });
  /** Writes the request down and does it, or does what the script says. */
  const handle = (id: number, what: string, act: () => number | undefined) => {
    requests.push(what);
    const answer = script.answer?.(what) ?? act();
    if (typeof answer === 'string') sftp.status(id, STATUS_CODE.FAILURE, answer);
    else if (answer !== undefined) sftp.status(id, answer);
  };
  const giveHandle = (id: number, path: string) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(handles.push(path) - 1, 0);
    sftp.handle(id, bytes);
    return undefined;
  };
  const statusOf = (path: string) => (files.has(path) ? STATUS_CODE.OK : STATUS_CODE.NO_SUCH_FILE);

  sftp.on('OPEN', (id, path) =>
    handle(id, `open ${path}`, () => {
      files.set(path, Buffer.alloc(0));
      return giveHandle(id, path);
    }),
  );
  sftp.on('WRITE', (id, file, offset, data) =>
    handle(id, `write ${pathOf(file)} ${offset} ${data.length}`, () => {
      const before = files.get(pathOf(file)) ?? Buffer.alloc(0);
      files.set(pathOf(file), Buffer.concat([before.subarray(0, offset), data]));
      return STATUS_CODE.OK;
    }),
  );
  sftp.on('FSTAT', (id, file) =>
    handle(id, `fstat ${pathOf(file)}`, () => {
      sftp.attrs(id, attributes(files.get(pathOf(file)) ?? Buffer.alloc(0)));
      return undefined;
    }),
  );
  sftp.on('STAT', (id, path) =>
    handle(id, `stat ${path}`, () => {
      const bytes = files.get(path);
      if (bytes === undefined) return STATUS_CODE.NO_SUCH_FILE;
      sftp.attrs(id, attributes(bytes));
      return undefined;
    }),
  );
  sftp.on('REALPATH', (id, path) =>
    sftp.name(id, [{ filename: path, longname: path, attrs: attributes(Buffer.alloc(0)) }]),
  );
  sftp.on('OPENDIR', (id, path) => handle(id, `opendir ${path}`, () => giveHandle(id, path)));
  sftp.on('READDIR', (id, file) =>
    handle(id, `readdir ${pathOf(file)}`, () => {
      if (script.list === undefined) return STATUS_CODE.EOF;
      const names = script.list(pathOf(file)).map((name) => ({
        filename: name.replace('/', ''),
        longname: '',
        attrs: { ...attributes(Buffer.alloc(0)), mode: name.endsWith('/') ? 0o040700 : 0o100600 },
      }));
      sftp.name(id, names);
      return undefined;
    }),
  );
  // Files need no folders here.
  sftp.on('MKDIR', (id, path) => handle(id, `mkdir ${path}`, () => STATUS_CODE.OK));
  sftp.on('CLOSE', (id, file) => handle(id, `close ${pathOf(file)}`, () => STATUS_CODE.OK));
  sftp.on('REMOVE', (id, path) =>
    handle(id, `remove ${path}`, () => {
      const status = statusOf(path);
      files.delete(path);
      return status;
    }),
  );
  sftp.on('RENAME', (id, from, to) =>
    handle(id, `rename ${from} ${to}`, () => {
      // As draft-ietf-secsh-filexfer-02 has it: never over a file that is there.
      if (files.has(to)) return STATUS_CODE.FAILURE;
      const bytes = files.get(from);
      if (bytes === undefined) return STATUS_CODE.NO_SUCH_FILE;
      files.delete(from);
      files.set(to, bytes);
      return STATUS_CODE.OK;
    }),
  );
}
