// @ts-check
// A line for the shell that asks an operation, ready to paste: what must be filled in stands in capitals.

/** @typedef {import('./openapi.js').Description} Description */
/** @typedef {import('./openapi.js').Operation} Operation */
/** @typedef {Record<string, any>} Json */

/**
 * @param {string} text
 * @returns {string} one word of a POSIX shell
 */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * @param {Description} api
 * @param {Operation} operation
 * @param {string} origin
 * @returns {string}
 */
export function curlOf(api, operation, origin) {
  const { method, parameters } = operation;
  const path = operation.path.replace(/\{([^}]+)\}/g, (_, name) => name.toUpperCase());
  const query = parameters
    .filter((one) => one.in === 'query' && one.required)
    .map((one) => `${encodeURIComponent(one.name)}=${encodeURIComponent(textOf(api.sample(one.schema)))}`)
    .join('&');
  const words = ['curl'];
  if (method !== 'GET') words.push(`-X ${method}`);
  words.push(quoted(`${origin}${path}${query ? `?${query}` : ''}`));
  if (opensSession(operation)) words.push('-c cookies.txt');
  else if (asksWho(api, operation)) words.push('-b cookies.txt');
  for (const one of parameters) {
    if (one.in === 'header' && one.required) words.push(`-H ${quoted(`${one.name}: ${textOf(api.sample(one.schema))}`)}`);
  }
  const content = api.follow(operation.raw.requestBody).content ?? {};
  const [type] = Object.keys(content);
  if (type) words.push(...bodyWords(api, type, content[type]));
  return words.join(' \\\n  ').replace(/^curl \\\n {2}/, 'curl ');
}

/**
 * @param {Description} api
 * @param {string} type
 * @param {Json} media
 * @returns {string[]}
 */
function bodyWords(api, type, media) {
  if (type.startsWith('multipart/')) {
    const schema = api.follow(media.schema);
    return Object.entries(schema.properties ?? {}).map(([name, reference]) => {
      if (isFile(api.follow(reference))) return `-F ${quoted(`${name}=@photo.jpg`)}`;
      return `-F ${quoted(`${name}=${textOf(api.sample(reference))}`)}`;
    });
  }
  if (type.includes('json')) {
    const sample = media.example ?? api.sample(media.schema);
    return [`-H ${quoted(`content-type: ${type}`)}`, `-d ${quoted(JSON.stringify(sample))}`];
  }
  return [`-H ${quoted(`content-type: ${type}`)}`, '--data-binary @FILE'];
}

/** @param {Json} schema */
function isFile(schema) {
  return schema.format === 'binary' || /^(image|application\/octet-stream)/.test(schema.contentMediaType ?? '');
}

/** @param {unknown} value */
function textOf(value) {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** @param {Operation} operation */
function opensSession({ method, path }) {
  return method === 'POST' && path.endsWith('/sign-in');
}

/**
 * @param {Description} api
 * @param {Operation} operation
 */
function asksWho(api, { raw }) {
  const security = raw.security ?? api.root.security;
  // A document that does not say is taken to ask: a cookie too many does no harm.
  return security === undefined || (security.length > 0 && security.some((/** @type {Json} */ one) => Object.keys(one).length > 0));
}
