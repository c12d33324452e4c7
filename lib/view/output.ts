import { SkylockError, systemErrorCode } from '../errors.ts';

export interface Output {
  /**
   * Resolves when the system has taken the text, so that a producer is no faster than its reader.
   * @returns `false` when nobody reads any more: what only prints may stop.
   * @throws SkylockError when it could not be written (a full disk behind `>`)
   */
  write(text: string): Promise<boolean>;
}

/** @param stream standard output: what it loses must be known before the program says that all went well. */
export function createOutput(stream: NodeJS.WritableStream): Output {
  const state: { failure: Error | null } = { failure: null };
  // A stream's error without a listener ends the process.
  stream.on('error', (error) => {
    state.failure ??= error;
  });
  return {
    async write(text) {
      await new Promise<void>((resolve) => {
        if (state.failure !== null) return resolve();
        stream.write(text, (error) => {
          if (error) state.failure ??= error;
          resolve();
        });
      });
      if (state.failure === null) return true;
      if (systemErrorCode(state.failure) === 'EPIPE') return false;
      throw new SkylockError(`write output: ${state.failure.message}`, { cause: state.failure });
    },
  };
}
