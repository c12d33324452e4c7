/**
 * Loaded into the program before itself (`NODE_OPTIONS=--import`), which knows nothing of it: writes down each step that
 * outlives the process, as it begins and as it has ended, and kills the process at one of these moments.
 *
 * `KILL_LOG` names the file the moments go to, one a line; `KILL_AT` is one of these lines.
 *
 * So that a short run has all kinds of steps, the minute until the first checkpoint and the second until the state file is
 * saved have passed when the first pack is recorded.
 */
import { subscribe } from 'node:diagnostics_channel';
import fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { ClientRequest } from 'node:http';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import type { Database as Sqlite, Statement } from 'better-sqlite3';

type AsyncMethod = (this: object, ...given: never[]) => Promise<unknown>;

const { writeSync, existsSync } = fs;
const require = createRequire(import.meta.url);
const firstRecord = Promise.withResolvers<void>();

// The packer's thread only reads.
if (isMainThread) {
  const log = fs.openSync(process.env.KILL_LOG!, 'a');
  const tell = (moment: string) => {
    writeSync(log, `${moment}\n`);
    if (moment === process.env.KILL_AT) process.kill(process.pid, 'SIGKILL');
  };
  const numbers = new Map<string, Set<number>>();
  /** @returns to be called when the step has ended */
  const begin: Begin = (what) => {
    const taken = numbers.get(what) ?? new Set();
    numbers.set(what, taken);
    let number = 1;
    while (taken.has(number)) number += 1;
    taken.add(number);
    tell(`before ${what} ${number}`);
    return (failed) => {
      if (failed) taken.delete(number); // the next attempt has its number
      tell(`${failed ? 'without' : 'after'} ${what} ${number}`);
    };
  };
  watchFiles(begin);
  watchJournal(begin);
  if (process.env.SKYLOCK_REMOTE?.startsWith('sftp:')) watchSftp(begin);
  watchWebdav(begin);
  hurry();
  syncBuiltinESMExports();
}

type Begin = (what: string) => (failed?: unknown) => void;

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
function watchFiles(begin: Begin): void {
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

/** Transactions that write, and statements that are one by themselves. */
function watchJournal(begin: Begin): void {
  const Database = require('better-sqlite3') as { prototype: Sqlite };
  const { prepare, transaction, exec } = Database.prototype;
  const isJournal = ({ name }: Sqlite) => name.endsWith('/journal.db');
  let tables = new Set<string>();
  /** @returns to be called when it has ended, what was written since the last time */
  const beginRecord = (): (() => void) => {
    const what = [...tables].join(' ');
    tables = new Set();
    if (what === '') return () => {};
    const ended = begin(`record ${what}`);
    return () => {
      ended();
      if (/\bpack\b/.test(what)) firstRecord.resolve();
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
function watchSftp(begin: Begin): void {
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
function watchWebdav(begin: Begin): void {
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

/** Once a pack is recorded, a checkpoint is due and the state file is saved. */
function hurry(): void {
  const { setTimeout: sleep } = timers;
  let isDue = true;
  Object.assign(timers, {
    setTimeout(ms: number, value?: unknown, options?: object) {
      if (ms !== 60_000 || !isDue) return sleep(ms, value, options);
      isDue = false;
      return Promise.race([sleep(ms, value, options), firstRecord.promise]);
    },
  });
  const interval = globalThis.setInterval as (...given: unknown[]) => NodeJS.Timeout;
  const watched = (action: () => void, ms: number, ...given: unknown[]) => {
    if (ms === 1000) void firstRecord.promise.then(() => setImmediate(action));
    return interval(action, ms, ...given);
  };
  Object.assign(globalThis, { setInterval: Object.assign(watched, interval) });
}
