import { type DAVResult, parseXML } from 'webdav';
import { RemoteError } from '../../errors.ts';
import type { Answer } from './exchange.ts';

/** An answer is parsed in parts of about this size: parsed at one go it takes forty times its own. */
const PART_LENGTH = 256 * 1024;
/** No server says so much of one file. */
const MAX_RESPONSE_LENGTH = 1024 * 1024;

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
  partLength = PART_LENGTH,
): AsyncGenerator<DAVResult, void, void> {
  const decoder = new TextDecoder();
  let [text, begin, end] = ['', '', ''];
  let enough = partLength;
  for await (const chunk of chunks) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length < enough) continue;
    const found = begin === '' ? BEGIN.exec(text) : null;
    if (found !== null) {
      [begin, end] = [found[0], `</${found[1]}>`];
      text = text.slice(begin.length);
    }
    const length = begin === '' ? 0 : endOfLastResponse(text);
    if (length > 0) yield await parse(doing, `${begin}${text.slice(0, length)}${end}`);
    text = text.slice(length);
    // What has been looked through is not looked through again for a few bytes more.
    enough = text.length + partLength;
    if (text.length > MAX_RESPONSE_LENGTH) {
      throw new RemoteError(`${doing}: the answer is larger than any of a repository`, { retryable: false });
    }
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
    throw new RemoteError(`${doing}: the server's answer is not WebDAV`, { retryable: false, cause });
  }
}
