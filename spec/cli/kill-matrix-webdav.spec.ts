import { suite } from 'uvu';
import { withWebdav } from '../helpers/cli-places.ts';
import { killEverywhere } from '../helpers/kill-matrix.ts';

const killed = suite('a backup to Apache that is killed');

killed('before and after each step loses nothing, and sends nothing again that is durable', () =>
  withWebdav((place) => killEverywhere(place, { onRemoteOnly: true })),
);

killed.run();
