import { loadConfig } from '../config/config.ts';
import { readNewPassword } from '../config/password.ts';
import { dataPaths } from '../config/paths.ts';
import { writeRemote } from '../config/write-config.ts';
import { EXIT, UsageError } from '../errors.ts';
import { defineCommand } from './cli.ts';
import { keyMemory } from './key-memory.ts';
import { connect, newTemporaryToken } from './session.ts';

export const initCommand = defineCommand({
  command: 'init [url]',
  describe: 'make a repository and write its URL into the config file',
  builder: (argv) =>
    argv
      .positional('url', { type: 'string', describe: 'sftp://user@host/folder, webdavs://…, or a folder' })
      .example('$0 init sftp://u12345@u12345.your-storagebox.de/backups', 'on a Storage Box'),

  async run(cli, options) {
    const { terminal } = cli;
    const config = loadConfig({ ...cli, flags: options });
    const url = options.url ?? config.remote;
    if (url === null) {
      throw new UsageError('make repository: no URL was named', {
        hints: ["Such as 'skylock init sftp://user@host/folder'."],
      });
    }
    const { parseRemoteUrl, formatRemoteUrl } = await import('../remote/url.ts');
    const { createRepository, refuseExisting } = await import('../repository/create.ts');
    const location = parseRemoteUrl(url, cli.cwd);
    const temporaryToken = newTemporaryToken();
    const remote = await connect(cli, config, location, { lanes: 1, temporaryToken, progress: () => {} });
    try {
      await refuseExisting(remote); // before the person thinks of a password
      const password = await readNewPassword(config.password, terminal);
      const { configFile, cacheFolder } = dataPaths(cli.env, cli.home);
      const repository = await createRepository(
        remote,
        { password, label: '', now: cli.now() },
        keyMemory(cacheFolder, remote.url),
      );
      writeRemote(configFile, formatRemoteUrl(location));
      const { repositoryId } = repository.config;
      terminal.message(`Made repository ${repositoryId} at ${remote.url}; its URL is in ${configFile}.`);
      terminal.hint(
        'Without the password nobody can read the backups, you included: keep it in a safe place.',
      );
      terminal.hint("Next: 'skylock backup --direct ~/Documents'");
      if (terminal.json) await terminal.resultJson({ repositoryId, url: remote.url });
      else await terminal.result(repositoryId);
    } finally {
      await remote.close();
    }
    return EXIT.done;
  },
});
