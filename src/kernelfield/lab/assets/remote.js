// The engine in Python, with the methods of the local one: over a WebSocket to the server, or a notebook's channel.

/** @import { Asked, Channel, Fit, Header, Image, Kernel, Message, Model, Packed } from "../types" */

const PIECE = 1 << 20;
// Bytes that may wait in the browser: enough that the network never waits, few enough that Cancel is soon obeyed.
const AHEAD = 8 << 20;

/**
 * Return the engine behind a server's WebSocket. It connects with the first request, and again where the connection was lost.
 * @param {string | URL} url of the session, without the token
 * @param {string} token
 * @param {{onState?: (state: "connected" | "lost" | "refused") => void}} [options]
 */
export function createRemote(url, token, { onState = () => {} } = {}) {
  const address = new URL(url);
  address.searchParams.set("token", token);
  /** @type {WebSocket | null} */
  let socket = null;
  /** @type {Promise<WebSocket> | null} */
  let opening = null;
  let sending = Promise.resolve();
  const requests = new Requests();

  /** @returns {Promise<WebSocket>} */
  const open = () => {
    opening ??= new Promise((resolve, reject) => {
      const candidate = new WebSocket(address);
      let greeted = false;
      candidate.binaryType = "arraybuffer";
      candidate.onmessage = ({ data }) => {
        if (typeof data !== "string") {
          requests.piece(new Uint8Array(data));
          return;
        }
        const message = JSON.parse(data);
        if (message.ready) {
          greeted = true;
          socket = candidate;
          onState("connected");
          resolve(candidate);
        } else {
          requests.message(message);
        }
      };
      candidate.onclose = ({ reason }) => {
        socket = opening = null;
        onState(greeted ? "lost" : "refused");
        const line = greeted
          ? `the connection to kernelfield lab was lost${reason ? ` (${reason})` : ""}; try again`
          : "kernelfield lab does not answer; start it again and open the address that it prints";
        requests.fail(line);
        reject(new Error(line));
      };
    });
    return opening;
  };

  /** @type {Channel} */
  const channel = {
    async send(message, images, { signal, onProgress }) {
      const target = await open();
      // The pieces of two requests do not mix.
      const turn = sending;
      let done = () => {};
      sending = new Promise((resolve) => (done = () => resolve(undefined)));
      try {
        await turn;
        if (signal?.aborted) return;
        target.send(JSON.stringify(message));
        const total = images.reduce((sum, { bytes }) => sum + bytes.length, 0);
        let sent = 0;
        for (const { bytes } of images) {
          for (let start = 0; start < bytes.length; start += PIECE) {
            while (target.bufferedAmount > AHEAD && target.readyState === WebSocket.OPEN) await pause(10);
            if (signal?.aborted || target.readyState !== WebSocket.OPEN) return;
            const piece = bytes.subarray(start, start + PIECE);
            target.send(piece);
            sent += piece.length;
            if (total > PIECE) onProgress?.(Math.max(0, sent - target.bufferedAmount) / total, "sending");
          }
        }
      } finally {
        done();
      }
    },
    cancel(id) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ id, op: "cancel" }));
    },
    close() {
      socket?.close(1000);
    },
    get ready() {
      return open();
    },
  };
  return engine(channel, requests);
}

/** Return the engine behind the channel of a notebook's widget. @param {Model} model */
export function createComm(model) {
  const requests = new Requests();
  /** @param {Message} content @param {DataView<ArrayBuffer>[]} buffers */
  const receive = (content, buffers) => {
    requests.message(content);
    for (const view of buffers ?? []) requests.piece(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  };
  model.on("msg:custom", receive);
  return engine(
    {
      async send(message, images, { signal }) {
        if (!images.length) model.send(message, undefined, []);
        // Servers of notebooks refuse messages of more than 10 MB, and may bring them in another order: each says what it is of.
        for (const [index, { bytes }] of images.entries()) {
          for (let start = 0; start < bytes.length; start += PIECE) {
            if (signal?.aborted) return;
            const piece = bytes.slice(start, start + PIECE).buffer;
            model.send({ ...message, piece: [index, start] }, undefined, [piece]);
          }
        }
      },
      cancel(id) {
        model.send({ id, op: "cancel" }, undefined, []);
      },
      close() {
        model.off("msg:custom", receive);
      },
      ready: Promise.resolve(),
    },
    requests,
  );
}

/** The requests that wait for an answer. */
class Requests {
  constructor() {
    /** @type {Map<number, {resolve: (answer: {result: unknown, images: Image[]}) => void, reject: (error: Error) => void, options: Asked}>} */
    this.waiting = new Map();
    /** @type {{id: number, result: unknown, images: Header[], parts: Uint8Array<ArrayBuffer>[], filled: number} | null} */
    this.coming = null;
  }

  /** Take a message in JSON. @param {Message} message */
  message(message) {
    const request = this.waiting.get(message.id);
    const { id, progress, text = "", error, result, images = [] } = message;
    if (progress !== undefined) {
      request?.options.onProgress?.(progress, text);
    } else if (error !== undefined) {
      this.waiting.delete(id);
      request?.reject(new Error(error));
    } else {
      this.coming = { id, result, images, parts: images.map(allocated), filled: 0 };
      this.complete();
    }
  }

  /** Take the next bytes of the images that come. @param {Uint8Array} bytes */
  piece(bytes) {
    if (!this.coming) return;
    let from = 0;
    let before = 0;
    for (const part of this.coming.parts) {
      const at = this.coming.filled - before;
      if (at >= 0 && at < part.length && from < bytes.length) {
        const taken = bytes.subarray(from, from + part.length - at);
        part.set(taken, at);
        from += taken.length;
        this.coming.filled += taken.length;
      }
      before += part.length;
    }
    this.complete();
  }

  /** Answer the request whose images have all come. */
  complete() {
    if (!this.coming) return;
    const { id, result, images, parts, filled } = this.coming;
    if (filled < parts.reduce((sum, part) => sum + part.length, 0)) return;
    this.coming = null;
    const request = this.waiting.get(id);
    this.waiting.delete(id);
    request?.resolve({ result, images: images.map((header, index) => unpack(header, parts[index])) });
  }

  /** Fail all requests with a line. @param {string} line */
  fail(line) {
    this.coming = null;
    for (const { reject } of this.waiting.values()) reject(new Error(line));
    this.waiting.clear();
  }
}

/**
 * @param {Channel} channel
 * @param {Requests} requests
 */
function engine(channel, requests) {
  // The views of one widget share a channel.
  let last = Math.floor(Math.random() * 2 ** 40);
  /**
   * @template T
   * @param {string} op
   * @param {object} args
   * @param {Packed[]} images
   * @param {Asked} options
   * @returns {Promise<{result: T, images: Image[]}>}
   */
  const ask = (op, args, images, options = {}) => {
    const id = ++last;
    const { signal } = options;
    return new Promise((resolve, reject) => {
      const aborted = () => {
        requests.waiting.delete(id);
        channel.cancel(id);
        reject(new DOMException("cancelled", "AbortError"));
      };
      if (signal?.aborted) {
        reject(new DOMException("cancelled", "AbortError"));
        return;
      }
      signal?.addEventListener("abort", aborted, { once: true });
      const settled = () => signal?.removeEventListener("abort", aborted);
      requests.waiting.set(id, {
        resolve: ({ result, images }) => (settled(), resolve({ result: /** @type {T} */ (result), images })),
        reject: (error) => (settled(), reject(error)),
        options,
      });
      const message = { id, op, args, images: images.map(({ header }) => header) };
      channel.send(message, images, options).catch((error) => {
        requests.waiting.delete(id);
        settled();
        reject(error);
      });
    });
  };
  return {
    get ready() {
      return channel.ready;
    },
    close: () => channel.close(),
    /** @param {ArrayBuffer} bytes @param {string} name @param {Asked} [options] */
    async open(bytes, name, options) {
      const file = new Uint8Array(bytes);
      /** @type {{result: {notes: string[], channels: string[]}, images: Image[]}} */
      const { result, images } = await ask("open", { name }, [{ header: { bytes: file.length }, bytes: file }], options);
      return { ...images[0], notes: result.notes, names: result.channels };
    },
    /** @param {Image} before @param {Image} after @param {{size?: number | number[] | null}} how @param {Asked} [options] */
    async learn(before, after, { size = null } = {}, options) {
      /** @type {{result: Fit}} */
      const { result } = await ask("learn", { size }, [pack(before), pack(after)], options);
      return result;
    },
    /** @param {Kernel} kernel @param {string} target @param {Asked} [options] */
    async code(kernel, target, options) {
      /** @type {{result: {text: string}}} */
      const { result } = await ask("code", { kernel, target }, [], options);
      return result.text;
    },
  };
}

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array };

/** Return an image's header and bytes: whole numbers of 8 or 16 bits as such, so that Python learns from what was stored.
 * @param {Image} image @returns {Packed} */
function pack({ width, height, channels, depth, data }) {
  const most = depth === 8 ? 255 : depth === 16 ? 65535 : -1;
  const whole = most > 0 && data.every((value) => value >= 0 && value <= most && Number.isInteger(value));
  /** @type {Header["dtype"]} */
  const dtype = !whole ? "f4" : depth === 8 ? "u1" : "u2";
  const bytes = new Uint8Array(ARRAYS[dtype].from(data).buffer);
  return { header: { width, height, channels, depth: whole ? depth : "float", dtype }, bytes };
}

/** @param {Header} header */
function allocated({ width, height, channels, dtype }) {
  return new Uint8Array(width * height * channels * ARRAYS[dtype].BYTES_PER_ELEMENT);
}

/** @param {Header} header @param {Uint8Array<ArrayBuffer>} bytes @returns {Image} */
export function unpack({ width, height, channels, depth, dtype }, bytes) {
  const values = new ARRAYS[dtype](bytes.buffer);
  return { width, height, channels, depth, data: values instanceof Float32Array ? values : Float32Array.from(values) };
}

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
