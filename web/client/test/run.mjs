// Runs the unit tests of the pure modules in Node: bundled by esbuild, no browser.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { spawnSync } from 'node:child_process';

const here = dirname(fileURLToPath(import.meta.url));
const modules = process.env.FILMGATE_NODE_MODULES;
const esbuild = createRequire(modules ? pathToFileURL(join(modules, 'x.js')) : import.meta.url)('esbuild');
const { outputFiles } = await esbuild.build({
  entryPoints: [join(here, 'pure.test.mjs')],
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'node',
  logLevel: 'error',
});
const folder = await mkdtemp(join(tmpdir(), 'filmgate-client-'));
const file = join(folder, 'pure.test.mjs');
await writeFile(file, outputFiles[0].text);
const { status } = spawnSync(process.execPath, ['--test', '--test-reporter=dot', file], { stdio: 'inherit' });
await rm(folder, { recursive: true });
process.exit(status ?? 1);
