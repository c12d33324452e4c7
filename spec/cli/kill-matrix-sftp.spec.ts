import { suite } from 'uvu';
import { withSftp } from '../helpers/cli-places.ts';
import { killEverywhere } from '../helpers/kill-matrix.ts';

const killed = suite('a backup to OpenSSH that is killed');

killed('before and after each step loses nothing, and sends nothing again that is durable', () =>
  withSftp((place) => killEverywhere(place, { onRemoteOnly: true })),
);

killed.run();
