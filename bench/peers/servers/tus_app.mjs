// tus 1.0 by its own server and file store, a process for each core. No sign-in, no form, no row.
import cluster from "node:cluster";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { PEER_DATA: data, PEER_PORT: port, PEER_PROCESSES: processes, PEER_MODULES: modules } = process.env;
const require = createRequire(join(modules, "index.js"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);

if (cluster.isPrimary) for (let at = 0; at < Number(processes); at += 1) cluster.fork();
else {
  const { Server } = await load("@tus/server");
  const { FileStore } = await load("@tus/file-store");
  const tus = new Server({ path: "/files", datastore: new FileStore({ directory: join(data, "uploads") }) });
  const server = createServer((request, response) => {
    if (request.url === "/quick.json") {
      response.setHeader("Content-Type", "application/json");
      return response.end('{"status":"OLKORECT"}');
    }
    return tus.handle(request, response);
  });
  server.requestTimeout = 0;
  server.listen(Number(port), "127.0.0.1", 4096);
}
