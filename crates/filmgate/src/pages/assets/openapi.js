// @ts-check
// An OpenAPI 3.1 document read for drawing: operations by tag, $ref followed, samples made up. No elements here.

/** @typedef {Record<string, any>} Json */

/**
 * @typedef {object} Operation
 * @property {string} id
 * @property {string} method in capitals
 * @property {string} path
 * @property {string} summary
 * @property {Json} raw
 * @property {Json[]} parameters the path's and the operation's own, $ref followed
 *
 * @typedef {{name: string, description: string, operations: Operation[]}} Group
 */

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options', 'trace'];
const DEEPEST_REF = 16;
const DEEPEST_SAMPLE = 5;

export class Description {
  /** @param {Json} root */
  constructor(root) {
    this.root = root;
  }

  /**
   * What stands behind a $ref, however many lead on. Members beside the $ref (3.1 allows them) are kept.
   * @param {any} value
   * @returns {Json}
   */
  follow(value) {
    let found = value;
    for (let depth = 0; depth < DEEPEST_REF; depth += 1) {
      if (found === null || typeof found !== 'object') return {};
      if (typeof found.$ref !== 'string') return found;
      const { $ref, ...beside } = found;
      found = { ...this.#at($ref), ...beside };
    }
    return {};
  }

  /** @param {string} ref */
  #at(ref) {
    if (!ref.startsWith('#/')) return {};
    /** @type {any} */
    let found = this.root;
    for (const step of ref.slice(2).split('/')) {
      found = found?.[decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')];
    }
    return found !== null && typeof found === 'object' ? found : {};
  }

  /** @returns {Group[]} in the order of the document's tags, then of first use */
  groups() {
    /** @type {Map<string, Group>} */
    const groups = new Map();
    for (const tag of this.root.tags ?? []) {
      groups.set(tag.name, { name: tag.name, description: tag.description ?? '', operations: [] });
    }
    for (const operation of this.operations()) {
      const tag = operation.raw.tags?.[0] ?? 'Other';
      /** @type {Group} */
      const group = groups.get(tag) ?? { name: tag, description: '', operations: [] };
      group.operations.push(operation);
      groups.set(tag, group);
    }
    return [...groups.values()].filter(({ operations }) => operations.length > 0);
  }

  /** @returns {Operation[]} */
  operations() {
    /** @type {Operation[]} */
    const all = [];
    for (const [path, reference] of Object.entries(this.root.paths ?? {})) {
      const item = this.follow(reference);
      for (const method of METHODS) {
        const raw = item[method];
        if (!raw) continue;
        all.push({
          id: raw.operationId ?? `${method}-${path.replace(/\W+/g, '-').replace(/^-|-$/g, '')}`,
          method: method.toUpperCase(),
          path,
          summary: raw.summary ?? '',
          raw,
          parameters: this.#parameters(item.parameters, raw.parameters),
        });
      }
    }
    return all;
  }

  /**
   * An operation's parameter replaces the path's of the same name and place.
   * @param {Json[]} [shared]
   * @param {Json[]} [own]
   */
  #parameters(shared = [], own = []) {
    /** @type {Map<string, Json>} */
    const found = new Map();
    for (const reference of [...shared, ...own]) {
      const parameter = this.follow(reference);
      found.set(`${parameter.in} ${parameter.name}`, parameter);
    }
    return [...found.values()];
  }

  /**
   * A value such as the schema allows: its example where it has one, else something of the right shape.
   * @param {any} reference
   * @returns {any}
   */
  sample(reference, depth = 0) {
    const schema = this.follow(reference);
    const given = schema.example ?? schema.examples?.[0] ?? schema.default ?? schema.const ?? schema.enum?.[0];
    if (given !== undefined) return given;
    if (depth > DEEPEST_SAMPLE) return null;
    if (Array.isArray(schema.allOf)) {
      const parts = schema.allOf.map((/** @type {any} */ part) => this.sample(part, depth + 1));
      const objects = parts.every((/** @type {any} */ part) => part !== null && typeof part === 'object');
      return objects ? Object.assign({}, ...parts) : parts[0];
    }
    const choice = (schema.oneOf ?? schema.anyOf)?.find((/** @type {any} */ one) => this.follow(one).type !== 'null');
    if (choice) return this.sample(choice, depth + 1);
    const type = [schema.type].flat().find((one) => one !== 'null') ?? (schema.properties ? 'object' : undefined);
    switch (type) {
      case 'object': {
        const names = Object.keys(schema.properties ?? {});
        return Object.fromEntries(names.map((name) => [name, this.sample(schema.properties[name], depth + 1)]));
      }
      case 'array':
        return [this.sample(schema.items, depth + 1)];
      case 'integer':
      case 'number':
        return schema.minimum ?? 1;
      case 'boolean':
        return true;
      case 'string':
        return sampleText(schema.format);
      default:
        return null;
    }
  }
}

/** @param {string | undefined} format */
function sampleText(format) {
  switch (format) {
    case 'uuid':
      return '0193a1de-0000-7000-8000-000000000000';
    case 'date-time':
      return '2025-01-31T08:00:00Z';
    case 'date':
      return '2025-01-31';
    default:
      return '…';
  }
}

/**
 * A schema's type in a few words: "integer (int64), at least 1", "string or null", "array of Capture".
 * @param {Description} api
 * @param {any} reference
 * @returns {string}
 */
export function typeWords(api, reference) {
  const schema = api.follow(reference);
  const named = nameOf(reference);
  const choices = schema.oneOf ?? schema.anyOf;
  if (Array.isArray(choices) && !named) return choices.map((one) => typeWords(api, one)).join(' or ');
  const types = [schema.type ?? (schema.properties || schema.allOf ? 'object' : [])].flat();
  const words = types.map((type) => {
    if (type === 'array') return `array of ${typeWords(api, schema.items)}`;
    return type === 'object' && named ? named : type;
  });
  if (words.length === 0 && schema.const !== undefined) return typeof schema.const;
  return words.join(' or ') || named || 'any';
}

/**
 * The name of the component that a $ref leads to.
 * @param {any} reference
 * @returns {string}
 */
export function nameOf(reference) {
  return typeof reference?.$ref === 'string' ? reference.$ref.slice(reference.$ref.lastIndexOf('/') + 1) : '';
}

/**
 * What a schema asks beyond its type, a phrase each.
 * @param {Json} schema
 * @returns {string[]}
 */
export function limits(schema) {
  /** @type {[string, string][]} */
  const phrases = [
    ['format', 'format'],
    ['minimum', 'at least'],
    ['exclusiveMinimum', 'more than'],
    ['maximum', 'at most'],
    ['exclusiveMaximum', 'less than'],
    ['minLength', 'characters at least'],
    ['maxLength', 'characters at most'],
    ['minItems', 'items at least'],
    ['maxItems', 'items at most'],
    ['pattern', 'pattern'],
    ['default', 'default'],
    ['const', 'always'],
  ];
  const said = phrases
    .filter(([member]) => schema[member] !== undefined && typeof schema[member] !== 'boolean')
    .map(([member, words]) => `${words} ${typeof schema[member] === 'string' ? schema[member] : JSON.stringify(schema[member])}`);
  if (typeof schema.default === 'boolean') said.push(`default ${schema.default}`);
  if (Array.isArray(schema.enum)) said.push(`one of ${schema.enum.map((one) => JSON.stringify(one)).join(', ')}`);
  if (schema.deprecated) said.push('deprecated');
  return said;
}
