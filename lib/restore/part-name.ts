import { hash } from 'node:crypto';
import { identifyProcess, type Owner } from '../journal/owner.ts';

/** The name of a part file says which file it is a part of, and which process writes it. */
const PART_NAME = /^\.skylock-part-([0-9a-f]{16})-((\d{1,10})-[0-9a-f]{8})$/;

export interface PartName {
  readonly key: string;
  readonly tag: string;
}

/** @param name the file's own, one character a byte @returns 16 hexadecimal digits: names may be as long as the system allows */
export function partKey(name: string): string {
  return hash('sha256', Buffer.from(name, 'latin1')).slice(0, 16);
}

/** Tells this process apart from every other of this machine. */
export function partTag(owner: Owner): string {
  const digest = hash('sha256', `${owner.pid} ${owner.startedAt} ${owner.bootId}`);
  return `${owner.pid}-${digest.slice(0, 8)}`;
}

export function partName(key: string, tag: string): string {
  return `.skylock-part-${key}-${tag}`;
}

/** @returns `null` when it is the name of something else */
export function parsePartName(name: string): PartName | null {
  const match = PART_NAME.exec(name);
  return match === null ? null : { key: match[1]!, tag: match[2]! };
}

/** Has the process that wrote the part ended? */
export function isAbandoned({ tag }: PartName): boolean {
  const living = identifyProcess(Number(tag.split('-')[0]));
  return living === null || partTag(living) !== tag;
}
