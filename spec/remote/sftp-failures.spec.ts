import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { connectionFailure, requestFailure, StatusError } from '../../lib/remote/sftp/failures.ts';

const line = suite('the line to an SFTP server');

for (const [codes, reason] of [
  [['ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL'], 'there is no network'],
  [['EHOSTUNREACH', 'EHOSTDOWN'], 'there is no way to this host'],
  [['EAI_AGAIN'], 'its name cannot be looked up at the moment'],
  [['EAI_FAIL', 'ECONNABORTED', 'EMFILE'], 'low level'],
  [['ECONNREFUSED'], 'nobody listens there'],
  [['ECONNRESET', 'EPIPE'], 'the server broke the connection'],
  [['ETIMEDOUT'], 'no answer'],
  [[12], 'the server takes no more connections'],
] as const) {
  line(`${codes.join(', ')}: ${reason}, and the next try may help`, () => {
    for (const code of codes) {
      const error = connectionFailure('connect to box', Object.assign(new Error('low level'), { code }));
      assert.equal([error.message, error.retryable], [`connect to box: ${reason}`, true]);
    }
  });
}

line('that just ended is worth another try, an error that was told of already stays as it is', () => {
  assert.ok(connectionFailure('talk to box', undefined).retryable);
  const told = new RemoteError('log in to box: refused', { retryable: false });
  assert.is(connectionFailure('talk to box', told), told);
});

for (const message of [
  'Handshake failed: no matching key exchange algorithm',
  'Unable to start subsystem: sftp',
]) {
  line(`'${message}' is final, and says what to look at`, () => {
    const error = connectionFailure('connect to box', new Error(message));
    assert.not.ok(error.retryable);
    assert.ok(error.hints.length > 0);
  });
}

line.run();

const requests = suite('what an SFTP server answers');

for (const [status, message, retryable] of [
  [2, 'No such file', true],
  [3, 'Permission denied', false],
  [4, 'Failure', true],
  [4, 'Disk quota exceeded', false],
  [4, 'No space left on device', false],
  [6, 'No connection', true],
  [7, 'Connection lost', true],
  [8, 'Operation unsupported', false],
  [14, 'No space on filesystem', false],
] as const) {
  requests(`${status}, '${message}', is ${retryable ? 'worth another try' : 'final'}`, () => {
    const error = requestFailure('put x', new StatusError(status, message)) as RemoteError;
    assert.instance(error, RemoteError);
    assert.is(error.retryable, retryable);
  });
}

requests.run();
