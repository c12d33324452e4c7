/**
 * Makes `dist/`, or the folder that is named, which is what the published package runs: everything bundled but
 * better-sqlite3, in files that are loaded when they are first needed. Why is in `docs/decisions/build.md`.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { bundledPackages, thirdPartyLicences } from './build/licences.ts';

const root = import.meta.dirname;
const dist = resolve(process.argv[2] ?? join(root, 'dist'));

/** What ssh2 does without: it looks for them in a `try`, and Node's own crypto has the ciphers we offer. */
const SSH2_NATIVE = ['cpu-features', '*/sshcrypto.node'];

/** CommonJS packages, ssh2 above all, ask for what a module does not have. */
const FOR_COMMONJS = `import { createRequire as makeRequire } from 'node:module';
const require = makeRequire(import.meta.url);`;

/**
 * yargs draws a command's help each time it runs one, asked for or not. What it takes to measure and break the text costs
 * a third of a start (`Intl.Segmenter`, an expression for all emoji); `spec/package.spec.ts` holds that help stays the same.
 */
const lightHelp: Plugin = {
  name: 'light help',
  setup({ onResolve }) {
    onResolve({ filter: /^(string-width|wrap-ansi)$/ }, ({ path, importer }) =>
      /\/node_modules\/(yargs|cliui)\//.test(importer)
        ? { path: join(root, 'build/help', `${path}.ts`) }
        : null,
    );
  },
};

await rm(dist, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: root,
  // All in one folder: a thread is looked for beside the file that starts it, which may be any of the shared ones.
  entryPoints: {
    skylock: 'bin/skylock.ts',
    'reader-thread': 'lib/backup/reader-thread.ts',
    'packer-thread': 'lib/backup/packer-thread.ts',
    'opener-thread': 'lib/restore/opener-thread.ts',
  },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24.7',
  external: ['better-sqlite3', ...SSH2_NATIVE],
  banner: { js: FOR_COMMONJS },
  define: { __dirname: 'import.meta.dirname', __filename: 'import.meta.filename' },
  plugins: [lightHelp],
  metafile: true,
  legalComments: 'none', // the texts are in THIRD-PARTY-LICENSES, whole
  logLevel: 'warning',
});
const inputs = Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs));
await writeFile(join(dist, 'THIRD-PARTY-LICENSES'), thirdPartyLicences(root, bundledPackages(inputs)));
