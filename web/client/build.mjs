// Builds the client: src/*.ts to filmgate.js (one ES module), camera-manager.js (a classic script) and filmgate.d.ts.
//
//   node build.mjs            writes dist/ and the copies that the server embeds
//   node build.mjs --check    types checked, and the embedded copies compared with what the sources make; writes nothing
//
// FILMGATE_NODE_MODULES is a folder with esbuild and typescript, where they are not installed here.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const embedded = join(here, '../../crates/filmgate/src/pages/assets/client');
const modules = process.env.FILMGATE_NODE_MODULES;
const require = createRequire(modules ? pathToFileURL(join(modules, 'x.js')) : import.meta.url);
const esbuild = require('esbuild');
const ts = require('typescript');
const checking = process.argv.includes('--check');

const { version, devDependencies } = JSON.parse(await readFile(join(here, 'package.json'), 'utf8'));
// Another version writes another file from the same sources.
if (esbuild.version !== devDependencies.esbuild) fail(`esbuild is ${esbuild.version}, package.json says ${devDependencies.esbuild}`);
if (ts.version !== devDependencies.typescript) fail(`typescript is ${ts.version}, package.json says ${devDependencies.typescript}`);

const BANNER = `/*! Filmgate's camera client ${version}. Made from web/client by \`node build.mjs\`; not to be edited. */`;

function fail(why) {
  console.error(`client: ${why}`);
  process.exit(1);
}

/** Checks every source, and makes the declarations of those that people outside see. */
function declarations() {
  const { config } = ts.readConfigFile(join(here, 'tsconfig.json'), ts.sys.readFile);
  const parsed = ts.parseJsonConfigFileContent(config, ts.sys, here);
  const made = new Map();
  const host = ts.createCompilerHost(parsed.options);
  host.writeFile = (path, text) => made.set(path.split('/').pop().replace(/\.d\.ts$/, ''), text);
  const options = { ...parsed.options, noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: join(here, 'unwritten') };
  const program = ts.createProgram(parsed.fileNames, options, host);
  const problems = [...ts.getPreEmitDiagnostics(program)];
  if (problems.length > 0) fail(`\n${ts.formatDiagnostics(problems, { getCanonicalFileName: (x) => x, getCurrentDirectory: () => here, getNewLine: () => '\n' })}`);
  program.emit();
  return made;
}

/** The declarations as one file: each module's, without what connects them, and only the index's names exported. */
function oneDeclaration(made) {
  const index = made.get('index');
  const names = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list]) => list.split(','));
  const exported = new Set(names.map((name) => name.replace(/^\s*type\s+/, '').trim()).filter(Boolean));
  const parts = ['settings', 'camera', 'hints', 'store', 'sender', 'recorder', 'status', 'compat'].map((name) =>
    made
      .get(name)
      .replace(/^import [\s\S]*?;\n/gm, '')
      .replace(/^export \{\};\n/gm, '')
      .replace(/import\("\.\/\w+\.js"\)\./g, '')
      .replace(/^export (declare )?((?:abstract )?(?:class|interface|type|const|function|declare) (\w+))/gm, (_, __, rest, name) =>
        `${exported.has(name) ? 'export ' : ''}declare ${rest}`,
      )
      .replace(/^declare (class|const|function) (?=\w)/gm, 'declare $1 '),
  );
  // Types of other modules that are only named.
  return `${BANNER}\n\n/** In a language of the status element. */\ntype StatusKey = string;\n${parts.join('\n')}\nexport {};\n`;
}

async function bundle(entry, options) {
  const { outputFiles, warnings } = await esbuild.build({
    absWorkingDir: here,
    entryPoints: [entry],
    bundle: true,
    write: false,
    target: 'es2022',
    charset: 'utf8',
    legalComments: 'inline',
    logLevel: 'error',
    ...options,
  });
  if (warnings.length > 0) fail(JSON.stringify(warnings));
  return outputFiles[0].text;
}

const made = declarations();
const files = {
  'filmgate.js': await bundle('src/index.ts', { format: 'esm', banner: { js: BANNER } }),
  'camera-manager.js': await bundle('src/classic.ts', {
    format: 'iife',
    // The worker is the module, which lies beside this script.
    banner: { js: `${BANNER}\n"use strict";\nvar filmgateScriptUrl = document.currentScript ? new URL("filmgate.js", document.currentScript.src).href : "";` },
    define: { 'import.meta.url': 'filmgateScriptUrl' },
  }),
  'filmgate.d.ts': oneDeclaration(made),
};

// The one declaration stands alone, as its readers will have it.
{
  const path = join(here, 'filmgate.d.ts');
  const host = ts.createCompilerHost({});
  const { readFile: read, fileExists: exists, getSourceFile: get } = host;
  host.fileExists = (name) => name === path || exists.call(host, name);
  host.readFile = (name) => (name === path ? files['filmgate.d.ts'] : read.call(host, name));
  host.getSourceFile = (name, version, ...rest) =>
    name === path ? ts.createSourceFile(name, files['filmgate.d.ts'], version) : get.call(host, name, version, ...rest);
  const program = ts.createProgram([path], { strict: true, noEmit: true, lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'], types: [], target: ts.ScriptTarget.ES2022 }, host);
  const problems = ts.getPreEmitDiagnostics(program);
  if (problems.length > 0) fail(`filmgate.d.ts:\n${ts.formatDiagnostics(problems, { getCanonicalFileName: (x) => x, getCurrentDirectory: () => here, getNewLine: () => '\n' })}`);
}

if (checking) {
  for (const [name, text] of Object.entries(files)) {
    const committed = await readFile(join(embedded, name), 'utf8').catch(() => null);
    if (committed !== text) fail(`${name} as the server embeds it is not what web/client makes; run: npm --prefix web/client run build`);
  }
  console.log(`client: types are right, and ${Object.keys(files).length} embedded files are what the sources make`);
} else {
  for (const folder of [join(here, 'dist'), embedded]) {
    await mkdir(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  }
  for (const [name, text] of Object.entries(files)) console.log(`${name}: ${text.length} characters`);
}
