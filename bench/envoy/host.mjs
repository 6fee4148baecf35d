// As much of a proxy-wasm host as the filter needs, in the V8 of Node: memory can be read there to the byte, and a
// million requests take minutes.
import { randomFillSync } from 'node:crypto';

const OK = 0;
const NOT_FOUND = 1;
const REQUEST_BODY = 0;
const PLUGIN_CONFIGURATION = 7;
const ROOT_CONTEXT = 1;

const text = (bytes) => Buffer.from(bytes).toString();

/** Header fields as proxy-wasm hands them over: counts and lengths, then names and values, each ended by a NUL. */
function pairs(fields) {
  const parts = fields.flat().map((part) => Buffer.from(part));
  const lengths = Buffer.alloc(4 + 4 * parts.length);
  lengths.writeUInt32LE(fields.length);
  parts.forEach(({ length }, index) => lengths.writeUInt32LE(length, 4 + 4 * index));
  return Buffer.concat([lengths, ...parts.flatMap((part) => [part, Buffer.alloc(1)])]);
}

export class Host {
  #exports;
  #configuration;
  #request = {};
  #lastContext = ROOT_CONTEXT;
  #metrics = 0;

  /** Loads and configures the filter. */
  constructor(module, configuration) {
    this.#configuration = Buffer.from(JSON.stringify(configuration));
    const unused = (name) => () => { throw new Error(`the filter calls ${name}, which is not needed here`); };
    const answered = { ...this.#functions(), ...this.#wasi() };
    const imports = { env: {}, wasi_snapshot_preview1: {} };
    for (const { module: space, name } of WebAssembly.Module.imports(module)) imports[space][name] = answered[name] ?? unused(name);
    this.#exports = new WebAssembly.Instance(module, imports).exports;
    this.#exports._initialize();
    this.#exports.proxy_on_context_create(ROOT_CONTEXT, 0);
    this.#exports.proxy_on_vm_start(ROOT_CONTEXT, 0);
    if (!this.#exports.proxy_on_configure(ROOT_CONTEXT, this.#configuration.length)) throw new Error('the filter refuses its configuration');
  }

  /** Bytes of linear memory, which never becomes less. */
  get memory() {
    return this.#exports.memory.buffer.byteLength;
  }

  /** A request from its headers to its end: true if the filter lets it go on. */
  request({ fields, body, properties }) {
    const context = this.#lastContext += 1;
    this.#request = { fields: pairs(fields), body, properties, isRefused: false };
    this.#exports.proxy_on_context_create(context, ROOT_CONTEXT);
    this.#exports.proxy_on_request_headers(context, fields.length, 0);
    this.#exports.proxy_on_request_body(context, body.length, 1);
    // As in Envoy, a callback in which the filter does nothing may be left out.
    this.#exports.proxy_on_response_headers?.(context, 0, 1);
    this.#exports.proxy_on_done?.(context);
    this.#exports.proxy_on_log?.(context);
    this.#exports.proxy_on_delete?.(context);
    return !this.#request.isRefused;
  }

  #view() {
    return new DataView(this.#exports.memory.buffer);
  }

  #bytes(address, size) {
    return Buffer.from(this.#exports.memory.buffer, address, size);
  }

  #handOver(bytes, address, size) {
    const target = this.#exports.proxy_on_memory_allocate(bytes.length);
    bytes.copy(this.#bytes(target, bytes.length));
    this.#view().setUint32(address, target, true);
    this.#view().setUint32(size, bytes.length, true);
    return OK;
  }

  #functions() {
    const done = () => OK;
    return {
      proxy_log: (level, address, size) => {
        if (level >= 3) console.error(text(this.#bytes(address, size)));
        return OK;
      },
      proxy_get_current_time_nanoseconds: (address) => {
        this.#view().setBigUint64(address, BigInt(Date.now()) * 1_000_000n, true);
        return OK;
      },
      proxy_get_buffer_bytes: (kind, start, limit, address, size) => {
        const buffer = { [REQUEST_BODY]: this.#request.body, [PLUGIN_CONFIGURATION]: this.#configuration }[kind];
        return buffer ? this.#handOver(buffer.subarray(start, start + limit), address, size) : NOT_FOUND;
      },
      proxy_get_header_map_pairs: (_, address, size) => this.#handOver(this.#request.fields, address, size),
      proxy_get_property: (path, pathSize, address, size) => {
        const value = this.#request.properties[text(this.#bytes(path, pathSize)).replaceAll('\0', '.')];
        return value ? this.#handOver(value, address, size) : NOT_FOUND;
      },
      proxy_send_local_response: () => {
        this.#request.isRefused = true;
        return OK;
      },
      proxy_define_metric: (_kind, _name, _nameSize, address) => {
        this.#view().setUint32(address, this.#metrics += 1, true);
        return OK;
      },
      proxy_increment_metric: done,
      proxy_record_metric: done,
      proxy_set_property: done,
      proxy_set_effective_context: done,
      proxy_replace_header_map_value: done,
      proxy_remove_header_map_value: done,
      proxy_add_header_map_value: done,
    };
  }

  #wasi() {
    return {
      random_get: (address, size) => {
        randomFillSync(this.#bytes(address, size));
        return 0;
      },
      environ_sizes_get: (count, size) => {
        this.#view().setUint32(count, 0, true);
        this.#view().setUint32(size, 0, true);
        return 0;
      },
      environ_get: () => 0,
    };
  }
}
