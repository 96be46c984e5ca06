// A transcript of calls, and the component's values in it. `tests/component-simulation/README.md` describes the lines.

// The members of the histories that have 64 bits in the WIT package. JavaScript's numbers would round them.
const WIDE = new Set(['age-ms', 'seconds', 'access-token-ends', 'refresh-token-ends']);

/** The process of the call has crashed. */
export class Crash extends Error {}

/** The component does something else than in the transcript. */
export class Differs extends Error {}

/** The lines of one call: answers the component's imports with them, and writes the lines again. */
export class Call {
  #lines;
  written = [];

  constructor(lines) {
    this.#lines = lines.map((line) => ({ line, ...JSON.parse(line) }));
  }

  /** The export and its arguments. */
  begin() {
    const { export: name, arguments: values } = this.#next();
    this.#write(`{"export":${text(name)},"arguments":${text(values.map((value) => read(value)))}}`);
    return { name: camelCase(name), values: values.map((value) => read(value)) };
  }

  /** Returns the answer to an import as JSON. The component must have called this import with these arguments. */
  answer(name, values) {
    const question = `{"import":${text(name)},"arguments":${text(values)}`;
    const { line, answer, crash } = this.#next();
    if (!line.startsWith(question)) this.#write(`${question},…`);
    if (crash) {
      this.#write(`${question},"crash":true}`);
      throw new Crash();
    }
    // A result is an object with the member `ok` or `err`. The other answers are values.
    const [tag] = answer?.ok !== undefined || answer?.err !== undefined ? Object.keys(answer) : [];
    const answered = tag ? `{"${tag}":${text(read(answer[tag]))}}` : text(read(answer));
    this.#write(`${question},"answer":${answered}}`);
    return answer;
  }

  end(tag, value) {
    this.#next();
    this.#write(`{"result":{"${tag}":${text(value)}}}`);
  }

  #next() {
    return this.#lines[this.written.length] ?? { line: 'the end of the call' };
  }

  #write(line) {
    const expected = this.#next().line;
    if (line !== expected) throw new Differs(`\n  expected ${expected}\n  but was  ${line}`);
    this.written.push(line);
  }
}

/** Returns a value of the component as text. */
export function text(value) {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'bigint') return `"${value}"`;
  if (typeof value !== 'object') return JSON.stringify(value);
  if (value instanceof Uint8Array) return `{"text":${JSON.stringify(decoded(value))}}`;
  if (Array.isArray(value)) return `[${value.map(text).join()}]`;
  if ('tag' in value) return `{"case":${text(value.tag)}${'val' in value ? `,"value":${text(value.val)}` : ''}}`;
  return `{${Object.entries(value).map(([name, it]) => `${text(kebabCase(name))}:${text(it)}`).join()}}`;
}

/** Returns the value of the component for this JSON. `name` is the member that has it. */
export function read(json, name) {
  if (json === null) return undefined;
  if (typeof json !== 'object') return WIDE.has(name) ? BigInt(json) : json;
  if (Array.isArray(json)) return json.map((item) => read(item));
  if ('text' in json) return new TextEncoder().encode(json.text);
  if ('case' in json) return 'value' in json ? { tag: json.case, val: read(json.value) } : { tag: json.case };
  return Object.fromEntries(Object.entries(json).map(([name, it]) => [camelCase(name), read(it, name)]));
}

function decoded(bytes) {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
}

const camelCase = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
const kebabCase = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
