import { suite } from 'uvu';
import { withLocal } from '../helpers/cli-places.ts';
import { killEverywhere } from '../helpers/kill-matrix.ts';

const killed = suite('a backup to a folder that is killed');

killed('before and after each step loses nothing, and sends nothing again that is durable', () =>
  withLocal((place) => killEverywhere(place)),
);

killed.run();
