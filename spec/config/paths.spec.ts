import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dataPaths, expandHome } from '../../lib/config/paths.ts';

const paths = suite('the paths on this machine');

paths('are under the home folder', () => {
  assert.equal(dataPaths({}, '/home/user'), {
    configFile: '/home/user/.config/skylock-hybrid/config.toml',
    dataFolder: '/home/user/.local/share/skylock-hybrid',
    journalFile: '/home/user/.local/share/skylock-hybrid/journal.db',
    stateFolder: '/home/user/.local/share/skylock-hybrid/resume_state',
    defaultRepository: '/home/user/.local/share/skylock-hybrid/repository',
    defaultKeyFile: '/home/user/.local/share/skylock-hybrid/repository.key',
    cacheFolder: '/home/user/.cache/skylock-hybrid',
  });
});

paths('are where XDG says, if that is absolute', () => {
  const env = { XDG_DATA_HOME: '/data', XDG_CONFIG_HOME: '/config', XDG_CACHE_HOME: '/cache' };
  assert.is(dataPaths(env, '/home/user').journalFile, '/data/skylock-hybrid/journal.db');
  assert.is(dataPaths(env, '/home/user').configFile, '/config/skylock-hybrid/config.toml');
  assert.is(dataPaths(env, '/home/user').cacheFolder, '/cache/skylock-hybrid');
  const relative = { XDG_DATA_HOME: 'data', XDG_CONFIG_HOME: '' };
  assert.equal(dataPaths(relative, '/home/user'), dataPaths({}, '/home/user'));
});

paths('with a tilde are under the home folder, of this person only', () => {
  assert.is(expandHome('~/x', '/home/user'), '/home/user/x');
  assert.is(expandHome('~', '/home/user'), '/home/user');
  assert.is(expandHome('~other/x', '/home/user'), '~other/x');
  assert.is(expandHome('/a/~/x', '/home/user'), '/a/~/x');
});

paths.run();
