import { suite } from 'uvu';
import { withWebdav } from '../helpers/cli-places.ts';
import { killEverywhere } from '../helpers/kill-matrix.ts';

const killed = suite('a backup to Apache that is killed');

killed('before and after each step loses nothing, and sends nothing again that is durable', () =>
  // A PUT makes the object and fills it.
  withWebdav((place) =>
    killEverywhere(place, { onRemoteOnly: true, unknownStep: 'create temporary object' }),
  ),
);

killed.run();
