/** The licence texts of what a bundle contains, as those licences ask for. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Licences that let the code be published inside a program under MIT, if their text goes with it. */
const ALLOWED = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD', 'Unlicense'];

interface Package {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly text: string;
}

/**
 * @param inputs the files a bundle was made from, relative to the project's folder, as esbuild's metafile has them
 * @returns the folders of the packages of which anything is in it, sorted
 */
export function bundledPackages(inputs: [string, { bytesInOutput: number }][]): string[] {
  const folders = inputs
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([file]) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0])
    .filter((folder) => folder !== undefined);
  return [...new Set(folders)].sort();
}

/** @throws Error when a package's licence is none of those allowed, or its text cannot be found */
export function thirdPartyLicences(root: string, folders: readonly string[]): string {
  const packages = folders.map((folder) => readPackage(root, folder));
  const unlike = (one: Package, other: Package) => one.name !== other.name || one.version !== other.version;
  return [
    'Skylock contains code of the packages below, each under the licence that follows its name.\n',
    ...packages
      .filter((one, index) => packages.slice(0, index).every((other) => unlike(one, other)))
      .map(
        ({ name, version, licence, text }) =>
          `${'-'.repeat(80)}\n${name} ${version} (${licence})\n\n${text}\n`,
      ),
  ].join('\n');
}

function readPackage(root: string, folder: string): Package {
  const { name, version, author, license, licenses } = JSON.parse(read(root, folder, 'package.json'));
  const licence = license ?? licenses?.[0]?.type;
  if (!ALLOWED.includes(licence)) throw new Error(`bundle ${name}: its licence is ${licence}`);
  const text = licenceText(root, folder, licence, author);
  if (text === null) throw new Error(`bundle ${name}: it has no licence text`);
  return { name, version, licence, text: text.trim() };
}

function licenceText(root: string, folder: string, licence: string, author: unknown): string | null {
  const files = readdirSync(join(root, folder)).sort();
  const found = files.filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
  if (found.length > 0) return found.map((file) => read(root, folder, file)).join('\n');
  // A few say only in package.json that they are under the MIT licence, or put its text at the end of their README.
  if (licence !== 'MIT') return null;
  const readme = files.includes('README.md') ? read(root, folder, 'README.md') : '';
  const inReadme = /^Copyright .*\n\nPermission is hereby granted[\s\S]*?SOFTWARE\.$/im.exec(readme)?.[0];
  const holder = typeof author === 'string' ? author : (author as { name?: string } | undefined)?.name;
  return inReadme ?? read(root, '.', 'LICENSE').replace(/^Copyright .*$/m, `Copyright (c) ${holder}`);
}

function read(...path: string[]): string {
  return readFileSync(join(...path), 'utf8');
}
