// The same work in Fastify with better-sqlite3, a process for each core: sign-in by the same cookie, ownership, settings,
// a file, a row. Nothing is synced.
import cluster from "node:cluster";
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createRequire } from "node:module";

const require = createRequire(join(process.env.PEER_MODULES, "index.js"));
const { PEER_DATA: data, PEER_PORT: port, PEER_SECRET: secret, PEER_PROCESSES: processes } = process.env;

// Flask's cookie: payload.time.signature, by HMAC-SHA1 under a key derived from the secret.
const key = createHmac("sha1", secret).update("cookie-session").digest();
function userOf(request) {
  const cookie = /(?:^|;\s*)session=([^;]+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
  const at = cookie.lastIndexOf(".");
  const given = Buffer.from(cookie.slice(at + 1), "base64url");
  const made = createHmac("sha1", key).update(cookie.slice(0, Math.max(at, 0))).digest();
  if (given.length !== made.length || !timingSafeEqual(given, made)) return null;
  const [payload, time] = cookie.split(".");
  const age = Date.now() / 1000 - Buffer.from(time, "base64url").readUIntBE(0, 4);
  return age < 2678400 ? Number(JSON.parse(Buffer.from(payload, "base64url").toString())._user_id) : null;
}

function serve() {
  const fastify = require("fastify")({ logger: false, bodyLimit: 64 << 20 });
  fastify.register(require("@fastify/multipart"), { limits: { fileSize: 64 << 20 } });
  const db = require("better-sqlite3")(join(data, "app.db"), { timeout: 30000 });
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = OFF");
  const find = db.prepare(
    `SELECT s.user_id, c.setting_name, c.recording_mode, c.interval_seconds, c.resolution, c.is_active
     FROM assessment_sessions s JOIN camera_settings c ON c.id = s.camera_settings_id
     JOIN users u ON u.id = s.user_id WHERE s.id = ?`,
  );
  const insert = db.prepare(
    `INSERT INTO camera_captures (id, session_id, filename, file_size_bytes, capture_trigger, timestamp, assessment_type,
     camera_settings_snapshot) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const snafu = (reply, status, error) => reply.code(status).send({ status: "SNAFU", error });

  fastify.post("/assessment/camera/upload", async (request, reply) => {
    const user = userOf(request);
    if (user === null) return snafu(reply, 401, "Authentication required");
    let settings = null;
    const files = new Map();
    const metadata = new Map();
    let session = null;
    for await (const part of request.parts()) {
      if (part.type === "field") {
        if (part.fieldname === "session_id") {
          session = part.value;
          settings = find.get(session);
          if (!settings || settings.user_id !== user) return snafu(reply, 403, "Session not found or access denied");
        } else if (part.fieldname.startsWith("metadata_")) metadata.set(part.fieldname.slice(9), JSON.parse(part.value));
        continue;
      }
      const id = randomUUID();
      const filename = `${id}.jpg`;
      const stream = createWriteStream(join(data, "uploads", filename));
      await pipeline(part.file, stream);
      files.set(part.fieldname.slice(8), { id, filename, size: stream.bytesWritten });
    }
    if (session === null) return snafu(reply, 400, "session_id required");
    const captures = [];
    for (const [name, file] of files) {
      const about = metadata.get(name) ?? {};
      const trigger = about.trigger ?? "MANUAL";
      if (settings.is_active && settings.recording_mode === "INTERVAL" && trigger !== "INTERVAL") continue;
      const kind = about.phq_response_id ? "PHQ" : about.llm_conversation_id ? "LLM" : "GENERAL";
      const timestamp = new Date().toISOString();
      insert.run(file.id, session, file.filename, file.size, trigger, timestamp, kind, JSON.stringify(settings));
      captures.push({ id: file.id, filename: file.filename, trigger, timestamp });
    }
    return { status: "OLKORECT", message: `Uploaded ${captures.length} captures`, captures };
  });

  fastify.get("/assessment/camera/settings/:session", async (request, reply) => {
    const user = userOf(request);
    if (user === null) return snafu(reply, 401, "Authentication required");
    const settings = find.get(request.params.session);
    if (!settings || settings.user_id !== user) return snafu(reply, 403, "Session not found or access denied");
    return { status: "OLKORECT", data: { settings, session_id: request.params.session } };
  });
  // A slow camera is no attack here: what is measured is what holding it costs.
  fastify.server.requestTimeout = 0;
  fastify.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
}

if (cluster.isPrimary) for (let at = 0; at < Number(processes); at += 1) cluster.fork();
else serve();
