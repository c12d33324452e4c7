import { type DAVResult, parseXML } from 'webdav';
import { RemoteError } from '../../errors.ts';
import type { Answer } from './exchange.ts';

/** An answer is parsed in parts of about this size: parsed at one go it takes forty times its own. */
const PART_LENGTH = 256 * 1024;
/** No server says so much of one file. */
const MAX_RESPONSE_LENGTH = 1024 * 1024;
/** A folder of ours that holds a million objects, with a kilobyte said of each; none holds so many. */
const MAX_ANSWER_BYTES = 1024 * 1024 * 1024;

// No piece of it reads past the next tag: what a server sends is looked through in the time of its length.
const BEGIN = /^[\s\S]*?<((?:[\w.-]+:)?multistatus)(?:\s[^<>]*)?>/;
const END = /<\/(?:[\w.-]+:)?multistatus\s*>|<(?:[\w.-]+:)?multistatus(?:\s[^<>]*)?\/>/;
const END_OF_RESPONSE = /<\/(?:[\w.-]+:)?response\s*>/g;

/**
 * Reads the answer to a PROPFIND as it comes in, however long it is: one part after another, each with the responses it holds.
 * @throws RemoteError when it is none, or has no end; retryable when the line may have broken
 * @see RFC 4918, section 13
 */
export async function* readMultistatus(
  doing: string,
  { headers, chunks }: Pick<Answer, 'headers' | 'chunks'>,
  { partLength = PART_LENGTH, maxBytes = MAX_ANSWER_BYTES } = {},
): AsyncGenerator<DAVResult, void, void> {
  const decoder = new TextDecoder();
  let [text, begin, end] = ['', '', ''];
  let enough = partLength;
  let bytesLeft = maxBytes;
  for await (const chunk of chunks) {
    bytesLeft -= chunk.length;
    if (bytesLeft < 0) throw tooLarge(doing);
    text += decoder.decode(chunk, { stream: true });
    if (text.length < enough) continue;
    const found = begin === '' ? BEGIN.exec(text) : null;
    if (found !== null) {
      [begin, end] = [found[0], `</${found[1]}>`];
      text = text.slice(begin.length);
    }
    const length = begin === '' ? 0 : endOfLastResponse(text);
    if (length > 0) {
      const part = await parse(doing, `${begin}${text.slice(0, length)}${end}`);
      // What ends there is no response to us: an answer of such parts would never be counted.
      if (!part.multistatus.response.some(isResponse)) throw notWebdav(doing);
      yield part;
    }
    text = text.slice(length);
    // What has been looked through is not looked through again for a few bytes more.
    enough = text.length + partLength;
    if (text.length > MAX_RESPONSE_LENGTH) throw tooLarge(doing);
  }
  text += decoder.decode();
  const hasEnd = END.test(text);
  // Where the end of the connection is that of the answer, a line that broke looks like one that has said everything.
  const isFramed = headers.get('content-length') !== null || headers.get('transfer-encoding') !== null;
  if (!hasEnd && !isFramed) throw endedEarly(doing, true);
  const last = await parse(doing, `${begin}${text}`);
  // The parser closes what is open.
  if (!hasEnd) throw endedEarly(doing, false);
  yield last;
}

/** The parser makes an empty one where there is none. */
export function isResponse(response: DAVResult['multistatus']['response'][number]): boolean {
  return response.href !== undefined;
}

function tooLarge(doing: string): RemoteError {
  return new RemoteError(`${doing}: the answer is larger than any of a repository`, { retryable: false });
}

function notWebdav(doing: string, cause?: unknown): RemoteError {
  return new RemoteError(`${doing}: the server's answer is not WebDAV`, { retryable: false, cause });
}

function endedEarly(doing: string, retryable: boolean): RemoteError {
  return new RemoteError(`${doing}: the answer ended early`, { retryable });
}

/** @returns 0 when there is none */
function endOfLastResponse(text: string): number {
  let end = 0;
  for (const { index, 0: tag } of text.matchAll(END_OF_RESPONSE)) end = index + tag.length;
  return end;
}

async function parse(doing: string, text: string): Promise<DAVResult> {
  try {
    return await parseXML(text);
  } catch (cause) {
    throw notWebdav(doing, cause);
  }
}
