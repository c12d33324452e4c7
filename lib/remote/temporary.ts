import { randomBytes } from 'node:crypto';
import { TEMPORARY_FOLDER } from './remote.ts';

/** What a server without a rename that replaces has moved aside ends in the number of the attempt. */
const TEMPORARY_NAME = new RegExp(`^${TEMPORARY_FOLDER}/([a-z0-9]+)-[0-9a-f]{16}(?:-\\d)?$`);

/** @returns a name nobody else uses, for an object that is not whole yet. @param token of this process, `[a-z0-9]+` */
export function temporaryName(token: string): string {
  return `${TEMPORARY_FOLDER}/${token}-${randomBytes(8).toString('hex')}`;
}

/** @returns the token of the process that wrote the object, or `null` when its name is not one of {@link temporaryName} */
export function temporaryToken(name: string): string | null {
  return TEMPORARY_NAME.exec(name)?.[1] ?? null;
}
