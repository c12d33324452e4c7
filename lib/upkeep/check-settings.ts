import { DamagedError, SkylockError } from '../errors.ts';
import { parseKeyFile } from '../format/key-file.ts';
import {
  MAX_CONFIG_BYTES,
  parseRepositoryConfig,
  verifyRepositoryConfig,
} from '../format/repository-config.ts';
import { keyId } from '../repository/create.ts';
import { CONFIG_NAME, KEYS_PREFIX, type Repository } from '../repository/repository.ts';
import { damageOf } from './damage.ts';
import type { Findings } from './findings.ts';

const OUR_NAME = /\/[0-9a-f]{16}\.json$/;

/** Looks at `skylock.json` and at every password's key file: those of other passwords can be told to be whole by their names. */
export async function checkSettings(repository: Repository, findings: Findings): Promise<void> {
  await check(repository, findings, CONFIG_NAME, (bytes) => {
    const config = parseRepositoryConfig(bytes);
    verifyRepositoryConfig(config, repository.keys);
  });
  let keyFiles = 0;
  for await (const { name } of repository.remote.list(KEYS_PREFIX)) {
    if (!name.endsWith('.json')) continue;
    keyFiles += 1;
    await check(repository, findings, name, (bytes) => {
      const { repositoryId } = parseKeyFile(bytes, name);
      if (repositoryId !== repository.config.repositoryId) {
        throw new DamagedError(`open ${name}: it belongs to repository ${repositoryId}`);
      }
      // Another writer may name it as it likes; what looks like a name of ours must be one.
      if (OUR_NAME.test(name) && name !== `${KEYS_PREFIX}${keyId(bytes)}.json`) {
        throw new DamagedError(`open ${name}: its bytes do not have the SHA-256 it is named by`);
      }
    });
  }
  if (keyFiles === 0) findings.damaged(KEYS_PREFIX, 'there is no key file: no password opens the repository');
}

async function check(
  { remote }: Repository,
  findings: Findings,
  name: string,
  parse: (bytes: Buffer) => void,
): Promise<void> {
  try {
    const bytes = await remote.get(name, { offset: 0, length: MAX_CONFIG_BYTES + 1 });
    if (bytes === null) throw new DamagedError(`read ${name}: it is not on the remote`);
    parseStrictly(bytes, parse);
  } catch (error) {
    findings.damaged(name, damageOf(error, name).replace(/^open repository: (read \S+: )?/, ''));
  }
}

/** A format this program is too old for is damage too, since this program has opened the repository. */
function parseStrictly(bytes: Buffer, parse: (bytes: Buffer) => void): void {
  try {
    parse(bytes);
  } catch (error) {
    if (!(error instanceof SkylockError)) throw error;
    throw new DamagedError(error.message, { cause: error });
  }
}
