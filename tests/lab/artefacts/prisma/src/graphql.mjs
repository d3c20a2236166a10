// Translates the GraphQL documents prisma-client-py sends into Prisma's JSON
// protocol, which is the only protocol the WASM build of the engine speaks.
//
// The input is machine generated: one operation, one root field, string
// literals that are already valid JSON literals. The output is produced as
// text, so integers beyond 2^53 and float spellings pass through untouched.
//
// The protocols differ in one type: a GraphQL string given for a JSON field is
// JSON text, a plain string in the JSON protocol is a JSON string. Such strings
// are therefore tagged, for which the translation follows the schema's models.

const ACTIONS = [
  'findUniqueOrThrow', 'findUnique', 'findFirstOrThrow', 'findFirst', 'findMany',
  'createManyAndReturn', 'createMany', 'createOne', 'updateMany', 'updateOne',
  'deleteMany', 'deleteOne', 'upsertOne', 'aggregate', 'groupBy',
];
const RAW_ACTIONS = new Set(['queryRaw', 'executeRaw']);
/** Arguments that name fields instead of giving values for them. */
const UNTYPED_ARGUMENTS = new Set(['orderBy', 'by', 'distinct']);
/** Operators of a JSON filter or update whose operand is itself JSON. */
const JSON_OPERATORS = new Set([
  'equals', 'not', 'set', 'push', 'lt', 'lte', 'gt', 'gte', 'array_contains', 'array_starts_with', 'array_ends_with',
]);

const UNTYPED = { json: new Set(), relations: new Map() };
/** Stands for "inside the value of a JSON field". */
const JSON_VALUE = { json: JSON_OPERATORS, relations: new Map() };

export class TranslationError extends Error {}

/** Splits an operation field such as `findFirstUserOrThrow` into [action, model]. */
export function splitOperation(field) {
  if (RAW_ACTIONS.has(field)) return [field, null];
  for (const action of ACTIONS) {
    if (action.endsWith('OrThrow')) {
      const stem = action.slice(0, -'OrThrow'.length);
      if (field.startsWith(stem) && field.endsWith('OrThrow')) {
        return [action, field.slice(stem.length, -'OrThrow'.length)];
      }
    } else if (field.startsWith(action) && field.length > action.length) {
      return [action, field.slice(action.length)];
    }
  }
  throw new TranslationError(`Unsupported operation '${field}'`);
}

class Parser {
  constructor(source, models, onRaw) {
    this.source = source;
    this.models = models;
    this.onRaw = onRaw;
    this.position = 0;
  }

  fail(expected) {
    const near = this.source.slice(this.position, this.position + 30);
    throw new TranslationError(`Expected ${expected} at offset ${this.position}, near ${JSON.stringify(near)}`);
  }

  /** Skips whitespace and commas, and returns the next character. */
  peek() {
    const { source } = this;
    let at = this.position;
    for (;;) {
      const code = source.charCodeAt(at);
      if (code === 32 || code === 10 || code === 13 || code === 9 || code === 44) at++;
      else break;
    }
    this.position = at;
    return source[at];
  }

  take(char) {
    if (this.peek() !== char) this.fail(`'${char}'`);
    this.position++;
  }

  maybe(char) {
    if (this.peek() !== char) return false;
    this.position++;
    return true;
  }

  match(pattern, expected) {
    this.peek();
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.source);
    if (!found) this.fail(expected);
    this.position = pattern.lastIndex;
    return found[0];
  }

  name() {
    return this.match(/[A-Za-z_][A-Za-z0-9_]*/y, 'a name');
  }

  string() {
    const { source } = this;
    const start = this.position;
    let at = start + 1;
    for (;;) {
      const quote = source.indexOf('"', at);
      if (quote < 0) this.fail('a closing quote');
      let backslashes = 0;
      while (source[quote - 1 - backslashes] === '\\') backslashes++;
      at = quote + 1;
      if (backslashes % 2 === 0) break;
    }
    this.position = at;
    return source.slice(start, at);
  }

  /** A GraphQL value as JSON text; `isJson` says it is the value of a JSON field. */
  value(model, isJson) {
    const char = this.peek();
    if (char === '"') {
      const literal = this.string();
      return isJson ? `{"$type":"Json","value":${literal}}` : literal;
    }
    if (char === '{') {
      this.position++;
      return `{${this.pairs('}', isJson ? JSON_VALUE : model)}}`;
    }
    if (char === '[') {
      this.position++;
      const items = [];
      while (!this.maybe(']')) items.push(this.value(model, isJson));
      return `[${items.join(',')}]`;
    }
    if (char === '-' || (char >= '0' && char <= '9')) {
      return this.match(/-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y, 'a number');
    }
    const word = this.name();
    if (word === 'true' || word === 'false' || word === 'null') return word;
    return JSON.stringify(word); // an enum member
  }

  /** `key: value` pairs; a key that is no field of the model is an operator and keeps the model. */
  pairs(closing, model) {
    const members = [];
    while (!this.maybe(closing)) {
      const key = this.name();
      this.take(':');
      const related = model.relations.get(key);
      members.push(`${JSON.stringify(key)}:${this.value(related ? this.model(related) : model, model.json.has(key))}`);
    }
    return members.join(',');
  }

  model(name) {
    return this.models.get(name) ?? UNTYPED;
  }

  /** The `arguments` and `selection` members of a field, as JSON text. */
  body(model) {
    const members = [];
    if (this.maybe('(')) {
      const given = [];
      while (!this.maybe(')')) {
        const key = this.name();
        this.take(':');
        given.push(`${JSON.stringify(key)}:${this.value(UNTYPED_ARGUMENTS.has(key) ? UNTYPED : model, false)}`);
      }
      members.push(`"arguments":{${given.join(',')}}`);
    }
    members.push(`"selection":{${this.maybe('{') ? this.selection(model) : ''}}`);
    return members.join(',');
  }

  selection(model) {
    const fields = [];
    while (!this.maybe('}')) {
      const field = this.name();
      const next = this.peek();
      const nested = next === '(' || next === '{' ? `{${this.body(this.model(model.relations.get(field)))}}` : 'true';
      fields.push(`${JSON.stringify(field)}:${nested}`);
    }
    return fields.join(',');
  }

  document() {
    if (this.peek() !== '{') this.name(); // query | mutation
    this.take('{');
    let field = this.name();
    if (this.maybe(':')) field = this.name();
    const [action, modelName] = splitOperation(field);
    const body = this.body(this.model(modelName));
    this.take('}');
    if (this.peek() !== undefined) this.fail('the end of the document');
    if (modelName !== null) return `{"modelName":${JSON.stringify(modelName)},"action":"${action}","query":{${body}}}`;
    const { query, parameters = '[]' } = JSON.parse(`{${body}}`).arguments;
    this.onRaw?.(query, parameters);
    return `{"action":"${action}","query":{${body}}}`;
  }
}

/** One GraphQL document -> one JSON protocol query, as JSON text. `onRaw` hears of each raw query. */
export function translateDocument(document, models = new Map(), onRaw = undefined) {
  return new Parser(document, models, onRaw).document();
}

/** The HTTP body prisma-client-py posts -> the body the WASM engine takes. */
export function translateRequest(request, models, onRaw) {
  if (!Array.isArray(request.batch)) return translateDocument(request.query, models, onRaw);
  const batch = request.batch.map((item) => translateDocument(item.query, models, onRaw)).join(',');
  const transaction = request.transaction
    ? `,"transaction":${JSON.stringify(request.isolationLevel ? { isolationLevel: request.isolationLevel } : {})}`
    : '';
  return `{"batch":[${batch}]${transaction}}`;
}
