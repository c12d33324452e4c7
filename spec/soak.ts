/**
 * Kills backups at random for as long as one likes: `node spec/soak.ts kills=300 seed=… only='sftp'`. On a folder (`local`),
 * OpenSSH and Apache in turn; on lines with faults, with files changing meanwhile, several kills a backup. Each life of a
 * machine is drawn from the seed and its number: `seed=… life=17` lives that one again. Before that a `gibibyte` is killed.
 */
import { randomInt } from 'node:crypto';
import { type Place, withLocal, withSftp, withWebdav } from './helpers/cli-places.ts';
import { killInGibibyte } from './soak/gibibyte.ts';
import { type LifeReport, live, momentsOf } from './soak/life.ts';
import { describeTotals } from './soak/report.ts';

const KINDS = { local: withLocal, sftp: withSftp, webdav: withWebdav } as const;
type Kind = keyof typeof KINDS;
const KILLS = 300;

const given = Object.fromEntries(process.argv.slice(2).map((word) => word.split('=', 2) as [string, string]));
const seed = given.seed || String(randomInt(1_000_000));
const wantedKills = Number(given.kills || KILLS);
const onlyLife = given.life ? Number(given.life) : null;
const isWanted = (name: string) => !given.only || given.only.split(' ').includes(name);
const kinds = (Object.keys(KINDS) as Kind[]).filter(isWanted);

const say = (line: string) => process.stdout.write(`${line}\n`);
say(`seed=${seed}`);
const lives: LifeReport[] = [];

/** Lends a server of each kind at the same time. */
async function withPlaces(
  left: readonly Kind[],
  places: Partial<Record<Kind, Place>>,
  use: (places: Partial<Record<Kind, Place>>) => Promise<void>,
): Promise<void> {
  const [kind, ...rest] = left;
  if (kind === undefined) return use(places);
  await KINDS[kind]((place: Place) => withPlaces(rest, { ...places, [kind]: place }, use));
}

/** @returns whether it survived all that was planned for it */
async function liveOne(
  number: number,
  kind: Kind,
  place: Place,
  moments: readonly string[],
): Promise<boolean> {
  const told: string[] = [];
  try {
    const life = await live(place, `life-${number}`, {
      seed: `${seed} ${number}`,
      moments,
      say: (line) => told.push(line),
    });
    lives.push(life);
    say(
      `life ${number}, ${kind}: ${life.kills.length} kills, ${life.backups} backups, ${life.faults} faults`,
    );
    return true;
  } catch (error) {
    say(`life ${number}, ${kind}, did not survive:\n${told.join('\n')}\n${(error as Error).stack}`);
    say(`\nagain: make soak seed=${seed} life=${number}${given.only ? ` only='${given.only}'` : ''}`);
    return false;
  }
}

let isWell = true;
if (onlyLife === null && isWanted('gibibyte')) {
  say('a gibibyte to sshd, killed at 40 %:');
  for (const line of await killInGibibyte(seed)) say(`  ${line}`);
}
if (kinds.length > 0)
  await withPlaces(kinds, {}, async (places) => {
    const moments = new Map<Kind, string[]>();
    for (const kind of kinds) moments.set(kind, await momentsOf(places[kind]!, 'moments', 'moments'));
    const killed = () => lives.reduce((sum, { kills }) => sum + kills.length, 0);
    for (let number = onlyLife ?? 1; isWell && killed() < wantedKills; number += 1) {
      const kind = kinds[number % kinds.length]!;
      isWell = await liveOne(number, kind, places[kind]!, moments.get(kind)!);
      if (onlyLife !== null) break;
    }
  });
if (lives.length > 0) say(`\nseed=${seed}\n${describeTotals(lives)}`);
process.exit(isWell ? 0 : 1);
