/** What tells of each step of the program that outlives its process: it stands before what the program uses, unseen. */
import { subscribe } from 'node:diagnostics_channel';
import fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { ClientRequest } from 'node:http';
import { createRequire } from 'node:module';
import type { Database as Sqlite, Statement } from 'better-sqlite3';

/** Told of a step that begins, in words. @returns to be called when it has ended */
export type Begin = (what: string) => (failed?: unknown) => void;

type AsyncMethod = (this: object, ...given: never[]) => Promise<unknown>;

const { existsSync } = fs;
const require = createRequire(import.meta.url);

/** @returns what lies there, or is to lie there, in words; `null` for what no other process looks at */
function thingAt(path: unknown): string | null {
  const text = decodeURIComponent(String(path)).replace(/\/$/, '');
  const state = /\/resume_state\/\d{8}_\d{6}\.json(\.tmp|\.old)?$/.exec(text);
  if (state !== null)
    return { '.tmp': 'next state file', '.old': 'former state file' }[state[1]!] ?? 'state file';
  const object = /\/(tmp|packs\/[0-9a-f]{2}|index|backups|resume)\/[^/]+$/.exec(text);
  if (object !== null) {
    const names = { tmp: 'temporary object', index: 'index', backups: 'backup', resume: 'checkpoint' };
    return names[object[1] as keyof typeof names] ?? 'pack';
  }
  return /\/(packs(\/[0-9a-f]{2})?|index|backups|resume|tmp|resume_state)$/.test(text) ? 'folder' : null;
}

/** The state file, and the objects of a repository in a folder. */
export function watchFiles(begin: Begin): void {
  const wrap = (
    name: 'mkdir' | 'rename' | 'link' | 'copyFile' | 'unlink' | 'rm',
    step: (...given: never[]) => string | null,
  ) => {
    const original = fs.promises[name] as AsyncMethod;
    Object.assign(fs.promises, {
      [name]: (...given: never[]) => {
        const what = step(...given);
        return what === null
          ? original.apply(fs.promises, given)
          : until(begin(what), original.apply(fs.promises, given));
      },
    });
  };
  const named = (verb: string, path: unknown): string | null => {
    const thing = thingAt(path);
    return thing === null ? null : `${verb} ${thing}`;
  };
  wrap('mkdir', (path) => (existsSync(path) ? null : named('make', path)));
  wrap('rename', (_, to) => named('name', to));
  wrap('link', (_, to) => named('keep', to));
  wrap('copyFile', (_, to) => named('copy', to));
  for (const name of ['unlink', 'rm'] as const)
    wrap(name, (path) => (existsSync(path) ? named('remove', path) : null));

  const open = fs.promises.open;
  const written = new WeakMap<FileHandle, string>();
  Object.assign(fs.promises, {
    async open(path: string, flags: string | number, mode?: number) {
      const thing = thingAt(path);
      if (thing === null || (flags !== 'wx' && flags !== 'r+')) return open(path, flags, mode);
      const opening = open(path, flags, mode);
      const handle = await (flags === 'wx' ? until(begin(`create ${thing}`), opening) : opening);
      written.set(handle, thing);
      watchSync(handle);
      return handle;
    },
  });
  /** Of all handles, with the first. */
  const watchSync = (handle: FileHandle) => {
    const prototype = Object.getPrototypeOf(handle) as { sync: AsyncMethod & { watched?: true } };
    const { sync } = prototype;
    if (sync.watched) return;
    prototype.sync = Object.assign(
      function (this: object) {
        const thing = written.get(this as FileHandle);
        return thing === undefined ? sync.call(this) : until(begin(`fill ${thing}`), sync.call(this));
      },
      { watched: true as const },
    );
  };
}

async function until<T>(ended: (failed?: unknown) => void, action: Promise<T>): Promise<T> {
  try {
    const result = await action;
    ended();
    return result;
  } catch (error) {
    ended(error);
    throw error;
  }
}

/**
 * Transactions that write, and statements that are one by themselves.
 * @param onRecorded told of the tables that were written, when each has ended
 */
export function watchJournal(begin: Begin, onRecorded: (tables: readonly string[]) => void): void {
  const Database = require('better-sqlite3') as { prototype: Sqlite };
  const { prepare, transaction, exec } = Database.prototype;
  const isJournal = ({ name }: Sqlite) => name.endsWith('/journal.db');
  let tables = new Set<string>();
  /** @returns to be called when it has ended, what was written since the last time */
  const beginRecord = (): (() => void) => {
    const written = [...tables];
    tables = new Set();
    if (written.length === 0) return () => {};
    const ended = begin(`record ${written.join(' ')}`);
    return () => {
      ended();
      onRecorded(written);
    };
  };

  const watchedPrepare = function (this: Sqlite, source: string): Statement {
    const statement = prepare.call(this, source) as Statement;
    const [, table, column] =
      /^(?:insert into|delete from|update) "(\w+)"(?: set "(\w+)")?/.exec(source) ?? [];
    if (table === undefined || !isJournal(this)) return statement;
    for (const name of ['run', 'all', 'get'] as const) {
      const original = statement[name] as (...given: unknown[]) => unknown;
      const watched = (...given: unknown[]) => {
        tables.add(column === undefined ? table : `${table}.${column}`);
        const ended = this.inTransaction ? () => {} : beginRecord();
        const result = original.apply(statement, given);
        ended();
        return result;
      };
      Object.assign(statement, { [name]: watched });
    }
    return statement;
  };

  type Transaction = (...given: unknown[]) => unknown;
  const watchedTransaction = function (this: Sqlite, change: Transaction): Transaction {
    if (!isJournal(this)) return transaction.call(this, change);
    let depth = 0;
    let ended = () => {};
    const begun = transaction.call(this, (...given) => {
      if (depth === 1) tables = new Set();
      const result = change(...given);
      if (depth === 1) ended = beginRecord(); // what follows is the commit
      return result;
    });
    const watched = (run: Transaction): Transaction => {
      return (...given) => {
        depth += 1;
        try {
          const result = run(...given);
          if (depth === 1) ended();
          return result;
        } finally {
          depth -= 1;
        }
      };
    };
    const { immediate, deferred, exclusive } = begun;
    return Object.assign(watched(begun), {
      immediate: watched(immediate),
      deferred: watched(deferred),
      exclusive: watched(exclusive),
    });
  };

  const watchedExec = function (this: Sqlite, source: string): Sqlite {
    if (source !== 'COMMIT' || !isJournal(this)) return exec.call(this, source);
    tables = new Set(['migrations']);
    const ended = beginRecord();
    exec.call(this, source);
    ended();
    return this;
  };
  Object.assign(Database.prototype, {
    prepare: watchedPrepare,
    transaction: watchedTransaction,
    exec: watchedExec,
  });
}

/** Requests that change something on an SFTP server. */
export function watchSftp(begin: Begin): void {
  const { SFTP } = require('ssh2/lib/protocol/SFTP.js') as { SFTP: { prototype: Record<string, Request> } };
  type Request = (this: object, ...given: unknown[]) => unknown;
  const wrap = (name: string, step: (...given: unknown[]) => string | null) => {
    const original = SFTP.prototype[name]!;
    SFTP.prototype[name] = function (...given) {
      const what = step(...given);
      if (what === null) return original.apply(this, given);
      const ended = begin(what);
      const done = given.at(-1) as (error: unknown, ...rest: unknown[]) => void;
      const watched = (error: unknown, ...rest: unknown[]) => {
        ended(error);
        done(error, ...rest);
      };
      return original.apply(this, [...given.slice(0, -1), watched]);
    };
  };
  wrap('open', (path, flags) => (flags === 'wx' ? `create ${thingAt(path)}` : null));
  wrap('ext_openssh_fsync', () => 'fill temporary object');
  wrap('ext_openssh_rename', (_, to) => `name ${thingAt(to)}`);
  wrap('mkdir', (path) => `make ${thingAt(path)}`);
  wrap('unlink', (path) => `remove ${thingAt(path)}`);
}

/** Requests that change something on a WebDAV server. */
export function watchWebdav(begin: Begin): void {
  const verbs: Record<string, string> = { PUT: 'fill', MOVE: 'name', MKCOL: 'make', DELETE: 'remove' };
  const under = new WeakMap<ClientRequest, (failed?: unknown) => void>();
  subscribe('http.client.request.created', (message) => {
    const { request } = message as { request: ClientRequest };
    const verb = verbs[request.method];
    const path = request.method === 'MOVE' ? request.getHeader('destination') : request.path;
    if (verb !== undefined) under.set(request, begin(`${verb} ${thingAt(path)}`));
  });
  subscribe('http.client.response.finish', (message) => {
    const { request, response } = message as {
      request: ClientRequest;
      response: { readonly statusCode: number };
    };
    under.get(request)?.(response.statusCode >= 300);
  });
}
